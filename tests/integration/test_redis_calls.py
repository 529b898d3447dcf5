"""Calls of Redis side by side, each with a response or a failure of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.redis_server import RedisProxy

from image_service.adapters.redis import RedisLink, RedisWindows, open_redis
from image_service.adapters.redis.link import CircuitBreaker
from image_service.adapters.redis.rate_limit import counter_key
from image_service.domain.errors import DependencyUnavailable

MINUTE = [("requests", 1000, 60)]


@pytest.fixture
async def link(proxy: RedisProxy) -> AsyncIterator[RedisLink]:
    async with open_redis(proxy.own_url, within=10) as opened:
        yield opened


async def test_each_gets_its_own_response(link: RedisLink, unique: str) -> None:
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
    assert sorted(count for [(count, _)] in counts) == [1, 1, 2]


async def test_scripts_redis_has_forgotten_run_once(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    counts = await asyncio.gather(*(windows.hit(unique, MINUTE) for _ in range(5)))
    assert sorted(count for [(count, _)] in counts) == [2, 3, 4, 5, 6]


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


async def test_a_response_that_trickles_in_is_given_up() -> None:
    """Each byte comes in time; all together don't."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1 << 16)
            for byte in b"*1\r\n*2\r\n:1\r\n:1\r\n":
                await asyncio.sleep(0.05)
                writer.write(bytes([byte]))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_redis(f"redis://127.0.0.1:{port}", within=0.2) as link:
        with pytest.raises(DependencyUnavailable):
            await RedisWindows(link).hit("user", MINUTE)


async def test_who_gives_up_leaves_the_others_their_responses(
    link: RedisLink, proxy: RedisProxy, unique: str
) -> None:
    windows = RedisWindows(link)
    users = [f"{unique}-{number}" for number in range(3)]
    for times, user in enumerate(users):
        for _ in range(times):
            await windows.hit(user, MINUTE)
    proxy.delay = 0.2
    calls = [asyncio.create_task(windows.hit(user, MINUTE)) for user in users]
    await asyncio.sleep(0.05)
    calls[0].cancel()
    assert [count for [(count, _)] in await asyncio.gather(*calls[1:])] == [2, 3]
    assert calls[0].cancelled()
    # Nor does the response that nobody waited for go to who comes next.
    assert [(await windows.hit(user, MINUTE))[0][0] for user in users[1:]] == [3, 4]


async def test_waiting_for_a_connection_is_no_failure_of_redis(
    proxy: RedisProxy, unique: str
) -> None:
    breaker = CircuitBreaker("redis")
    async with open_redis(proxy.own_url, within=0.1, breaker=breaker) as link:
        windows = RedisWindows(link)
        async with contextlib.AsyncExitStack() as taken:
            for _ in range(50):
                await taken.enter_async_context(link._connections)
            calls = (windows.hit(unique, MINUTE) for _ in range(20))
            refused = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, DependencyUnavailable) for one in refused)
        assert not breaker.is_open
        assert not link._connections.locked()


async def test_who_waits_for_a_connection_is_refused_when_redis_fails(
    proxy: RedisProxy, unique: str
) -> None:
    breaker = CircuitBreaker("redis")
    async with open_redis(proxy.own_url, within=0.2, breaker=breaker) as link:
        windows = RedisWindows(link)
        await windows.hit(unique, MINUTE)
        proxy.silent = True
        calls = (windows.hit(unique, MINUTE) for _ in range(120))
        lost = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, DependencyUnavailable) for one in lost)
        assert breaker.is_open
        assert not link._connections.locked()
