"""Calls of one turn of the event loop go to Redis together, and fail apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.redis_server import RedisProxy

from image_service.adapters.redis import RedisLink, RedisWindows, open_redis, scripts
from image_service.adapters.redis.cache import image_key, state_key
from image_service.adapters.redis.rate_limit import counter_key
from image_service.domain.errors import DependencyUnavailable

MINUTE = [("requests", 1000, 60)]


@pytest.fixture
async def link(proxy: RedisProxy) -> AsyncIterator[RedisLink]:
    async with open_redis(proxy.own_url, within=10) as opened:
        yield opened


async def test_what_is_asked_at_once_is_one_round_trip(
    link: RedisLink, proxy: RedisProxy, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    before = proxy.requests
    counts = await asyncio.gather(*(windows.hit(unique, MINUTE) for _ in range(20)))
    assert [count for [(count, _)] in counts] == list(range(2, 22))
    assert proxy.requests - before == 1


async def test_each_gets_its_own_answer(link: RedisLink, unique: str) -> None:
    windows = RedisWindows(link)
    users = [f"{unique}-{number}" for number in range(10)]
    for times, user in enumerate(users):
        for _ in range(times):
            await windows.hit(user, MINUTE)
    counts = await asyncio.gather(*(windows.hit(user, MINUTE) for user in users))
    assert [count for [(count, _)] in counts] == list(range(1, 11))


async def test_a_key_of_another_type_is_made_anew_and_takes_no_other_with_it(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    broken, sound = f"{unique}-broken", f"{unique}-sound"
    async with Redis.from_url(redis_url) as client:
        await client.lpush(counter_key(broken, "requests", 60), "no number")
    windows = RedisWindows(link)
    counts = await asyncio.gather(*(windows.hit(user, MINUTE) for user in (sound, broken, sound)))
    assert [count for [(count, _)] in counts] == [1, 1, 2]


async def test_scripts_redis_has_forgotten_run_once(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    counts = await asyncio.gather(*(windows.hit(unique, MINUTE) for _ in range(5)))
    assert [count for [(count, _)] in counts] == [2, 3, 4, 5, 6]


async def test_known_and_forgotten_scripts_in_one_batch_each_run_once(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    windows = RedisWindows(link)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    await windows.hit(unique, MINUTE)
    key, state = image_key(unique), state_key(unique)
    read = [scripts.READ, [key, state], ["a fresh token", "image", 0, 60_000]]
    answers = await asyncio.gather(
        windows.hit(unique, MINUTE), link.run(*read), windows.hit(unique, MINUTE), link.run(*read)
    )
    assert [answers[at][0][0] for at in (0, 2)] == [2, 3]
    assert [answers[at] for at in (1, 3)] == [[None, b"a fresh token"]] * 2
    [(count, _)] = await windows.hit(unique, MINUTE)
    assert count == 4


async def test_what_is_answered_is_answered_where_the_rest_breaks_off(
    link: RedisLink, proxy: RedisProxy, redis_url: str, unique: str
) -> None:
    windows = RedisWindows(link)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    await windows.hit(unique, MINUTE)
    proxy.cut_at = b"$4\r\nEVAL\r\n"
    answers = await asyncio.gather(
        windows.hit(unique, MINUTE),
        link.run(scripts.READ, [unique, unique], ["token", "image", 0, 60_000]),
        return_exceptions=True,
    )
    assert answers[0][0][0] == 2
    assert isinstance(answers[1], DependencyUnavailable)


async def test_a_batch_whose_answers_trickle_in_is_given_up() -> None:
    """Each comes in time; all together don't."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1 << 16)
            while not reader.at_eof():
                await asyncio.sleep(0.15)
                writer.write(b"*1\r\n*2\r\n:1\r\n:1\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_redis(f"redis://127.0.0.1:{port}", within=0.2) as link:
        windows = RedisWindows(link)
        hits = (windows.hit("user", MINUTE) for _ in range(20))
        answers = await asyncio.gather(*hits, return_exceptions=True)
    assert all(isinstance(one, DependencyUnavailable) for one in answers)


async def test_who_gives_up_leaves_the_others_their_answers(
    link: RedisLink, proxy: RedisProxy, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    proxy.delay = 0.2
    impatient = asyncio.create_task(windows.hit(unique, MINUTE))
    patient = asyncio.create_task(windows.hit(unique, MINUTE))
    await asyncio.sleep(0.05)
    impatient.cancel()
    [(count, _)] = await patient
    assert count == 3
    assert impatient.cancelled()


async def test_a_connection_cut_fails_all_it_carried_and_no_later_one(
    link: RedisLink, proxy: RedisProxy, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    proxy.silent = True
    lost = asyncio.gather(*(windows.hit(unique, MINUTE) for _ in range(3)), return_exceptions=True)
    await asyncio.sleep(0.05)
    proxy.cut()
    assert all(isinstance(one, DependencyUnavailable) for one in await lost)
    proxy.heal()
    [(count, _)] = await windows.hit(unique, MINUTE)
    assert count >= 2  # what was lost on its way may have been counted


async def test_who_has_given_up_before_is_not_sent(
    link: RedisLink, proxy: RedisProxy, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    call = asyncio.create_task(windows.hit(unique, MINUTE))
    await asyncio.sleep(0)
    call.cancel()
    [(count, _)] = await windows.hit(unique, MINUTE)
    assert count == 2


async def test_closing_sends_what_waits(proxy: RedisProxy, unique: str) -> None:
    async with open_redis(proxy.own_url, within=10) as link:
        await RedisWindows(link).hit(unique, MINUTE)
        call = asyncio.create_task(RedisWindows(link).hit(unique, MINUTE))
        await asyncio.sleep(0)
    [(count, _)] = await call
    assert count == 2
    assert proxy.connections == 1


async def test_closing_waits_for_what_is_on_its_way(proxy: RedisProxy, unique: str) -> None:
    async with open_redis(proxy.own_url, within=10) as link:
        await RedisWindows(link).hit(unique, MINUTE)
        proxy.delay = 0.2
        call = asyncio.create_task(RedisWindows(link).hit(unique, MINUTE))
        await asyncio.sleep(0.05)
    [(count, _)] = await call
    assert count == 2
