"""Redis slow, silent, gone, back again, full: every request still gets its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests import redis_server, virtual_time
from tests.contract.samples import make_image
from tests.redis_server import RedisProxy, redis_proxy
from tests.scraping import Samples
from tests.unit.builders import caller

from image_service.adapters.redis import (
    RedisHealth,
    RedisImageCache,
    RedisLink,
    RedisWindows,
    open_redis,
)
from image_service.adapters.redis.link import TIMEOUT, CircuitBreaker
from image_service.adapters.redis.rate_limit import WindowRateLimiter
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Image
from image_service.domain.listing import Listing, ListQuery, Page
from image_service.telemetry.telemetry import Telemetry

COOLDOWN = 0.3
THRESHOLD = 5
A_MOMENT = 0.001


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Task:
    """What one task has on Redis, and a store behind it that always answers."""

    link: RedisLink
    user: str

    def __post_init__(self) -> None:
        self.telemetry = Telemetry()
        self.purges: list[tuple[str, str]] = []
        self.cache = RedisImageCache(self.link, add_purge=self._add_purge, telemetry=self.telemetry)
        self.limiter = WindowRateLimiter(requests="1000/hour", shared=RedisWindows(self.link))
        self.image = make_image(self.user)
        self.store_reads = 0

    async def _add_purge(self, user_id: str, image_id: str, at: object) -> None:
        self.purges.append((user_id, image_id))

    async def get(self) -> Image:
        async def read() -> Image:
            self.store_reads += 1
            return self.image

        image = await self.cache.image(self.user, self.image.id, read)
        assert image is not None
        return image

    async def list(self) -> Listing:
        async def read() -> Listing:
            self.store_reads += 1
            return Listing(Page((self.image,), None), 1)

        return await self.cache.listing(self.user, ListQuery(), read)

    async def edit(self) -> None:
        async with self.cache.writing(self.user, self.image.id):
            self.image = replace(self.image, version=self.image.version + 1)

    def reads(self, result: str) -> float:
        samples = Samples.of(self.telemetry)
        return samples("cache_requests_total", part="image", result=result)

    async def request(self) -> float:
        """What a GET does: count, then read. Seconds."""
        started = time.perf_counter()
        assert (await self.limiter.hit(caller(self.user), upload=False)).allowed
        assert await self.get() == self.image
        return time.perf_counter() - started


def impatient_breaker() -> CircuitBreaker:
    """One that soon tries again."""
    return CircuitBreaker("redis", threshold=THRESHOLD, cooldown=COOLDOWN)


@pytest.fixture
async def task(proxy: RedisProxy, unique: str) -> AsyncIterator[Task]:
    """With time enough, so that a busy machine is not taken for an outage."""
    async with open_redis(proxy.own_url, within=10, breaker=impatient_breaker()) as link:
        yield Task(link, f"user-{unique}")


@pytest.fixture
async def hasty(proxy: RedisProxy, unique: str) -> AsyncIterator[Task]:
    """As in production."""
    async with open_redis(proxy.own_url, breaker=impatient_breaker()) as link:
        yield Task(link, f"user-{unique}")


async def test_a_hit_is_one_round_trip(task: Task, proxy: RedisProxy) -> None:
    await task.get()
    await task.get()
    before, reads = proxy.requests, task.store_reads
    for _ in range(10):
        assert await task.get() == task.image
    assert proxy.requests - before == 10
    assert task.store_reads == reads


async def test_a_count_is_one_round_trip_for_uploads_too(task: Task, proxy: RedisProxy) -> None:
    await task.limiter.hit(caller(task.user), upload=True)
    before = proxy.requests
    await task.limiter.hit(caller(task.user), upload=True)
    assert proxy.requests - before == 1


async def test_a_write_is_two_round_trips(task: Task, proxy: RedisProxy) -> None:
    await task.edit()
    before = proxy.requests
    await task.edit()
    assert proxy.requests - before == 2


@asynccontextmanager
async def hasty_task(redis_url: str, user: str) -> AsyncIterator[tuple[Task, RedisProxy, Clock]]:
    """As in production, with a breaker whose cooldown passes when a test says so."""
    clock = Clock()
    breaker = CircuitBreaker("redis", threshold=THRESHOLD, cooldown=COOLDOWN, clock=clock)
    async with redis_proxy(redis_url) as proxy, open_redis(proxy.own_url, breaker=breaker) as link:
        yield Task(link, user), proxy, clock


async def until_hit(task: Task, clock: Clock) -> None:
    while not task.reads("hit"):
        clock.now += COOLDOWN
        assert await task.get() == task.image


@virtual_time.MARK
@pytest.mark.parametrize("fault", ["silent", "refusing", "deaf"])
async def test_while_redis_fails_every_request_works_within_the_bound(
    redis_url: str, unique: str, fault: str
) -> None:
    async with hasty_task(redis_url, f"user-{unique}") as (hasty, proxy, clock):
        await until_hit(hasty, clock)
        setattr(proxy, fault, True)
        if fault == "refusing":
            proxy.cut()
        times = [await hasty.request() for _ in range(100)]
        # Each waits for Redis at most twice; once the breaker is open, only the probes wait.
        assert max(times) <= 2 * TIMEOUT + A_MOMENT
        assert sum(times) <= THRESHOLD * (TIMEOUT + A_MOMENT)
        clock.now += COOLDOWN
        asked = proxy.requests + proxy.connections
        assert sum([await hasty.request() for _ in range(100)]) <= TIMEOUT + A_MOMENT
        assert proxy.requests + proxy.connections > asked
        await hasty.edit()
        assert (await hasty.get()).version == 2
        with pytest.raises((TimeoutError, RedisError)):
            await RedisHealth(hasty.link).ping()

        proxy.heal()
        hits = hasty.reads("hit")
        while hasty.reads("hit") == hits:
            clock.now += COOLDOWN
            assert (await hasty.get()).version == 2


@virtual_time.MARK
async def test_a_crowd_meets_a_black_hole(redis_url: str, unique: str) -> None:
    async with hasty_task(redis_url, f"user-{unique}") as (hasty, proxy, _):
        proxy.silent = True
        times = await asyncio.gather(*(hasty.request() for _ in range(200)))
        assert max(times) <= 2 * TIMEOUT + A_MOMENT  # not one after the other
        assert sum([await hasty.request() for _ in range(20)]) == 0


async def test_an_answer_that_comes_too_late_is_never_another_requests(
    hasty: Task, proxy: RedisProxy
) -> None:
    """A connection given up in the middle of a call is not used again."""
    other = Task(hasty.link, f"{hasty.user}-2")
    for each in (hasty, other):
        await each.get()
        await each.get()
    proxy.delay = TIMEOUT * 1.3
    assert await hasty.get() == hasty.image
    with pytest.raises(TimeoutError):  # a client that goes away
        await asyncio.wait_for(hasty.get(), TIMEOUT / 4)
    proxy.heal()
    for _ in range(5):
        assert await other.get() == other.image
        assert await hasty.get() == hasty.image
        assert (await hasty.limiter.hit(caller(hasty.user), upload=False)).allowed


async def test_a_lost_invalidation_is_recorded_and_made_up_for(
    task: Task, proxy: RedisProxy, redis_url: str
) -> None:
    async with open_redis(redis_url) as link:
        other = Task(link, task.user)
        other.image = task.image
        await other.get()
        proxy.refusing = True
        proxy.cut()
        await task.edit()
        assert set(task.purges) == {(task.user, task.image.id)}
        assert Samples.of(task.telemetry)("cache_invalidations_lost_total") == 1
        # This task reads its own write; who reaches Redis does not, until the purge is done.
        assert (await task.get()).version == 2
        assert (await other.get()).version == 1
        other.image = task.image
        await other.cache.purge(*task.purges[0])  # the outbox' worker, in any task
        assert (await other.get()).version == 2


async def test_what_is_owed_is_bounded(task: Task, proxy: RedisProxy) -> None:
    proxy.refusing = True
    images = [f"image-{number}" for number in range(1200)]
    for image_id in images:
        async with task.cache.writing(task.user, image_id):
            pass
    assert set(task.purges) == {(task.user, image_id) for image_id in images}
    assert len(task.cache._owed) == 1000
    proxy.heal()
    await asyncio.sleep(COOLDOWN)
    for _ in range(25):
        await task.get()
    assert not task.cache._owed


async def test_connections_cut_between_calls_cost_nothing(task: Task, proxy: RedisProxy) -> None:
    await task.get()
    for _ in range(10):
        proxy.cut()
        await asyncio.sleep(0.01)
        assert await task.get() == task.image
    assert task.reads("unavailable") == 0


async def test_the_set_of_page_keys_is_bounded_and_runs_out(task: Task, redis_url: str) -> None:
    async def read() -> Listing:
        return Listing(Page((), None), 0)

    async with Redis.from_url(redis_url) as raw:
        await task.list()
        await raw.hset(f"user:{task.user}:generation", "pages_from", 0)
        for limit in range(1, 101):
            for order in ("asc", "desc"):
                await task.cache.listing(task.user, ListQuery(limit=limit, order=order), read)
        names = await raw.smembers(f"user:{task.user}:cache_keys")
        assert len(names) == 100
        assert {name async for name in raw.scan_iter(f"user:{task.user}:images:page:*")} == names
        async for name in raw.scan_iter(f"user:{task.user}:*"):
            assert 0 < await raw.ttl(name) <= 24 * 3600
        assert 0 < await raw.ttl(next(iter(names))) <= 300
        assert 0 < await raw.ttl(f"user:{task.user}:cache_keys") <= 300
        await task.get()
        assert 3500 < await raw.ttl(f"image:{task.image.id}") <= 3600
        await task.edit()
        left = {name async for name in raw.scan_iter(f"*{task.user}*")}
        assert left == {f"user:{task.user}:generation".encode()}
        assert not await raw.exists(f"image:{task.image.id}")


@pytest.mark.parametrize(
    "poison",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"schema":0}', b"[" * 100_000, b"1" * 10_000,
        b'{"schema":2,"image":{"id":null}}',
    ],
)  # fmt: skip
async def test_what_does_not_parse_is_a_miss_and_is_replaced(
    task: Task, redis_url: str, poison: bytes
) -> None:
    await task.get()
    async with Redis.from_url(redis_url) as raw:
        key = f"image:{task.image.id}"
        good = await raw.get(key)
        stranger = good.replace(task.image.id.encode(), make_image("x").id.encode())
        for bad in (poison, stranger, good.replace(b'"schema":2', b'"schema":1')):
            await raw.set(key, bad)
            assert await task.get() == task.image
            assert await raw.get(key) == good


async def test_a_page_with_the_image_of_another_is_a_miss(task: Task, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as raw:
        await task.list()
        await raw.hset(f"user:{task.user}:generation", "pages_from", 0)
        await task.list()
        [key] = await raw.smembers(f"user:{task.user}:cache_keys")
        good = await raw.get(key)
        name, other = task.user.encode(), b"x" * len(task.user)
        for bad in (
            good[:10],
            good.replace(name, other),
            good.replace(b'ser_id":"' + name, b'ser_id":"' + other),
        ):
            await raw.set(key, bad)
            assert (await task.list()).page.images == (task.image,)
            assert await raw.get(key) == good


# What follows needs a server that can be killed and configured at will; the same faults
# are played above by the proxy, on whatever Redis there is.
async def test_killed_and_started_again(unique: str) -> None:
    with redis_server.own_redis() as server:
        async with open_redis(server.url, breaker=impatient_breaker()) as link:
            task = Task(link, f"user-{unique}")
            await task.request()
            await task.request()
            server.kill()
            for _ in range(10):
                await task.request()
            await task.edit()
            assert (await task.get()).version == 2
            server.start()
            await asyncio.sleep(COOLDOWN)
            for _ in range(3):
                await task.request()
            reads = task.store_reads
            await task.request()
            assert task.store_reads == reads
            assert (await task.get()).version == 2


async def test_a_full_redis_that_evicts_nothing_still_forgets(unique: str) -> None:
    with redis_server.own_redis() as server:
        async with (
            open_redis(server.url, breaker=impatient_breaker()) as link,
            Redis.from_url(server.url) as raw,
        ):
            task = Task(link, f"user-{unique}")
            await task.get()
            await raw.config_set("maxmemory-policy", "noeviction")
            await raw.config_set("maxmemory", 1)
            for version in (2, 3):
                await task.edit()
                assert (await task.get()).version == version
            assert task.purges == []
            assert await raw.keys() == [f"user:{task.user}:generation".encode()]
            await raw.flushall()
            assert (await task.get()).version == 3
            assert (await task.limiter.hit(caller(task.user), upload=False)).allowed
            await raw.config_set("maxmemory", 0)
            await task.get()
            assert await raw.exists(f"image:{task.image.id}")


async def test_after_a_failover_the_name_is_asked_again(unique: str) -> None:
    with redis_server.own_redis() as old, redis_server.own_redis() as new:
        async with (
            redis_proxy(old.url) as name,
            open_redis(name.own_url, breaker=impatient_breaker()) as link,
        ):
            task = Task(link, f"user-{unique}")
            await task.get()
            async with Redis.from_url(old.url) as raw:
                await raw.replicaof("127.0.0.1", new.port)
            name.url = new.url
            await task.edit()
            await task.edit()
            assert len(task.purges) <= 2
            await task.get()
            await task.get()
            assert task.reads("hit") >= 1
            with pytest.raises(DependencyUnavailable):
                async with open_redis(old.url) as stale:
                    await RedisWindows(stale).hit(task.user, [("requests", 1, 1)])
