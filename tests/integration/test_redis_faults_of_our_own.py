"""Faults that are not the Redis server's: odd keys, and an event loop that is held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from tests import virtual_time
from tests.contract.samples import make_image
from tests.integration.test_redis_outages import Task
from tests.unit.builders import caller

from image_service.adapters.redis import open_redis, scripts
from image_service.adapters.redis.cache import image_key, page_set_key, state_key
from image_service.adapters.redis.link import CircuitBreaker
from image_service.adapters.redis.rate_limit import counter_key
from image_service.domain.errors import DependencyUnavailable

Spoil = Callable[[Redis, str], Awaitable[Any]]


async def a_list(redis: Redis, name: str) -> None:
    await redis.delete(name)
    await redis.rpush(name, "x")


async def a_text(redis: Redis, name: str) -> None:
    await redis.delete(name)
    await redis.set(name, "x")


async def a_hash_without_numbers(redis: Redis, name: str) -> None:
    await redis.delete(name)
    await redis.hset(name, mapping={"token": "x", "pages_from": "x", "w:1": "x"})


SPOILT: dict[str, tuple[Callable[[Task], str], Spoil]] = {
    "image": (lambda task: image_key(task.image.id), a_list),
    "generation, a text": (lambda task: state_key(task.user), a_text),
    "generation, a list": (lambda task: state_key(task.user), a_list),
    "generation, no numbers": (lambda task: state_key(task.user), a_hash_without_numbers),
    "page set": (lambda task: page_set_key(task.user), a_text),
    "counter, a list": (lambda task: counter_key(task.user, "requests", 3600), a_list),
    "counter, no number": (lambda task: counter_key(task.user, "requests", 3600), a_text),
}


@pytest.mark.parametrize(("name_of", "spoil"), SPOILT.values(), ids=SPOILT)
async def test_a_key_that_can_not_be_used_is_replaced_and_is_nobody_elses_trouble(
    redis_url: str, unique: str, name_of: Callable[[Task], str], spoil: Spoil
) -> None:
    breaker = CircuitBreaker("redis", threshold=1)
    async with (
        open_redis(redis_url, within=5, breaker=breaker) as link,
        Redis.from_url(redis_url) as redis,
    ):
        task = Task(link, f"alice-{unique}")
        task.image = make_image(task.user)
        await task.get()
        await task.limiter.hit(caller(task.user), upload=False)
        await spoil(redis, name_of(task))
        with capture_logs() as lines:
            for _ in range(3):
                assert await task.get() == task.image
                await task.list()
                assert (await task.limiter.hit(caller(task.user), upload=False)).allowed
            async with task.cache.writing(task.user, task.image.id):
                pass
        assert not breaker.is_open
        assert task.purges == []  # every invalidation got through
        events = [line["event"] for line in lines]
        assert events.count("redis_keys_unusable") == 1
        assert "rate_limits_counted_alone" not in events


async def test_a_loop_that_is_held_up_makes_no_outage_of_redis(redis_url: str, unique: str) -> None:
    breaker = CircuitBreaker("redis", threshold=1)
    async with open_redis(redis_url, within=0.2, breaker=breaker) as link:
        task = Task(link, f"alice-{unique}")
        await task.limiter.hit(caller(task.user), upload=False)
        held = asyncio.create_task(hold_the_loop())
        with capture_logs() as lines:
            for _ in range(10):
                await task.limiter.hit(caller(task.user), upload=False)
        held.cancel()
        assert not breaker.is_open
        assert lines == []


async def hold_the_loop() -> None:
    """Longer than a call may take, again and again."""
    while True:
        time.sleep(0.3)  # noqa: ASYNC251 # that is the point
        await asyncio.sleep(0)


@virtual_time.MARK
async def test_a_redis_that_says_nothing_is_still_given_up_in_time(unique: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_redis(url, within=0.1) as link:
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await link.run(scripts.COUNT, [unique], [1, 1000])
        assert time.monotonic() - started == pytest.approx(0.1)
