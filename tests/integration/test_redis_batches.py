"""Calls of one turn of the event loop go to Redis together, and fail apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.redis_server import RedisProxy, redis_proxy

from image_service.adapters.redis import RedisLink, RedisWindows, keys, open_redis
from image_service.domain.errors import DependencyUnavailable

MINUTE = [("requests", 1000, 60)]


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[RedisProxy]:
    async with redis_proxy(redis_url) as running:
        yield running


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


async def test_one_that_fails_takes_no_other_with_it(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    broken, sound = f"{unique}-broken", f"{unique}-sound"
    async with Redis.from_url(redis_url) as client:
        await client.lpush(keys.counter(broken, "requests", 60), "no number")
    windows = RedisWindows(link)
    answers = await asyncio.gather(
        *(windows.hit(user, MINUTE) for user in (sound, broken, sound)), return_exceptions=True
    )
    assert isinstance(answers[1], DependencyUnavailable)
    assert [answers[at][0][0] for at in (0, 2)] == [1, 2]


async def test_scripts_redis_has_forgotten_run_once(
    link: RedisLink, redis_url: str, unique: str
) -> None:
    windows = RedisWindows(link)
    await windows.hit(unique, MINUTE)
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    counts = await asyncio.gather(*(windows.hit(unique, MINUTE) for _ in range(5)))
    assert [count for [(count, _)] in counts] == [2, 3, 4, 5, 6]


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


async def test_closing_waits_for_what_is_on_its_way(proxy: RedisProxy, unique: str) -> None:
    async with open_redis(proxy.own_url, within=10) as link:
        await RedisWindows(link).hit(unique, MINUTE)
        proxy.delay = 0.2
        call = asyncio.create_task(RedisWindows(link).hit(unique, MINUTE))
        await asyncio.sleep(0.05)
    [(count, _)] = await call
    assert count == 2
