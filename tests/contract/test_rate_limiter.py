"""The contract of `RateLimiter`, over each place it can count in."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.unit.builders import caller, machine

from image_service.adapters.redis import RedisWindows, open_redis
from image_service.adapters.redis.rate_limit import MemoryWindows, WindowRateLimiter, Windows


@pytest.fixture(params=["memory", "redis"])
async def windows(request: pytest.FixtureRequest) -> AsyncIterator[Windows]:
    if request.param == "memory":
        yield MemoryWindows()
        return
    # With time enough, so that a slow machine can't turn it into a test of the fallback.
    async with open_redis(request.getfixturevalue("redis_url"), within=30) as link:
        yield RedisWindows(link)


@pytest.fixture
def alice() -> str:
    return f"alice-{secrets.token_hex(4)}"


async def test_counts_down_and_then_refuses(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="3/hour", shared=windows)
    hits = [await limiter.hit(caller(alice), upload=False) for _ in range(5)]
    assert [hit.remaining for hit in hits] == [2, 1, 0, 0, 0]
    assert [hit.allowed for hit in hits] == [True, True, True, False, False]
    assert {hit.limit for hit in hits} == {3}
    assert all(3590 < hit.reset_at - time.time() <= 3601 for hit in hits)
    assert len({hit.reset_at for hit in hits}) <= 2  # one moment, rounded from two clocks


async def test_users_do_not_share(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="1/hour", shared=windows)
    for user in (alice, f"{alice}-b", f"{alice}@x", f"{alice}:rate:requests:3600"):
        assert (await limiter.hit(caller(user), upload=False)).allowed
        assert not (await limiter.hit(caller(user), upload=False)).allowed


async def test_an_upload_counts_against_both(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="3/hour", uploads="100/hour", shared=windows)
    for _ in range(3):
        assert (await limiter.hit(caller(alice), upload=True)).allowed
    refused = await limiter.hit(caller(alice), upload=True)
    assert (refused.allowed, refused.limit) == (False, 3)
    assert refused.description == "3 requests per hour"


async def test_a_costly_upload_is_charged_as_several(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="100/hour", uploads="10/hour", shared=windows)
    assert (await limiter.hit(caller(alice), upload=True)).remaining == 9
    await limiter.charge(caller(alice), 7)
    last = await limiter.hit(caller(alice), upload=True)
    assert (last.allowed, last.remaining) == (True, 1)
    await limiter.charge(caller(alice), 64)
    refused = await limiter.hit(caller(alice), upload=True)
    assert (refused.allowed, refused.description) == (False, "10 uploads per hour")
    assert (await limiter.hit(caller(alice), upload=False)).remaining == 96
    assert (await limiter.hit(caller(f"{alice}-b"), upload=True)).remaining == 9


async def test_reads_go_on_when_uploads_are_used_up(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="100/hour", uploads="1/hour", shared=windows)
    assert (await limiter.hit(caller(alice), upload=True)).allowed
    refused = await limiter.hit(caller(alice), upload=True)
    assert (refused.allowed, refused.description) == (False, "1 uploads per hour")
    read = await limiter.hit(caller(alice), upload=False)
    assert (read.allowed, read.limit, read.remaining) == (True, 100, 97)


async def test_equal_limits_are_counted_apart(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="2/hour", uploads="2/hour", shared=windows)
    assert (await limiter.hit(caller(alice), upload=True)).remaining == 1
    assert (await limiter.hit(caller(alice), upload=False)).remaining == 0


async def test_the_smaller_share_is_told(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="10/hour", uploads="100/hour", shared=windows)
    assert (await limiter.hit(caller(alice), upload=True)).limit == 10  # 9 of 10 before 99 of 100
    limiter = WindowRateLimiter(requests="1000/hour", uploads="100/hour", shared=windows)
    assert (await limiter.hit(caller(f"{alice}-b"), upload=True)).limit == 100


async def test_a_request_refused_as_such_uses_up_no_upload(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="1/second", uploads="19/hour", shared=windows)
    allowed = [(await limiter.hit(caller(alice), upload=True)).allowed for _ in range(20)]
    assert allowed[0]
    assert not all(allowed)
    await asyncio.sleep(1.05)
    assert (await limiter.hit(caller(alice), upload=True)).allowed


async def test_a_crowd_gets_exactly_the_limit(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(requests="50/hour", shared=windows)
    hits = await asyncio.gather(*(limiter.hit(caller(alice), upload=False) for _ in range(200)))
    assert sum(hit.allowed for hit in hits) == 50


async def test_a_machine_is_counted_apart_from_those_it_acts_for(
    windows: Windows, alice: str
) -> None:
    limiter = WindowRateLimiter(
        requests="3/hour", uploads="1/hour", machine_requests="7/hour", shared=windows
    )
    # Of a name nobody else has, so that Redis starts with nothing.
    api = replace(machine(), id=f"api-{alice}")
    for_alice, for_bob = api.on_behalf_of(alice), api.on_behalf_of(f"{alice}-b")
    for sender in (for_alice, for_bob, caller(alice)):
        assert (await limiter.hit(sender, upload=True)).allowed
        refused = await limiter.hit(sender, upload=True)
        assert (refused.allowed, refused.description) == (False, "1 uploads per hour")
    assert (await limiter.hit(api, upload=False)).remaining == 2
    await limiter.charge(for_alice, 5)
    own = await limiter.hit(caller(alice), upload=False)
    assert (own.limit, own.remaining) == (3, 0)
    last = [await limiter.hit(sender, upload=False) for sender in (for_alice, for_bob)]
    assert [(hit.allowed, hit.limit, hit.remaining) for hit in last] == [(True, 7, 1), (True, 7, 0)]
    refused = await limiter.hit(for_bob, upload=False)
    assert (refused.allowed, refused.description) == (False, "7 requests per hour")
    assert (await limiter.hit(caller(api.id), upload=True)).allowed  # a user of that name


async def test_a_machine_for_nobody_counts_against_no_user(windows: Windows, alice: str) -> None:
    limiter = WindowRateLimiter(uploads="1/hour", shared=windows)
    by_itself = replace(machine(), id=f"api-{alice}")
    assert (await limiter.hit(by_itself, upload=True)).allowed
    assert (await limiter.hit(by_itself.on_behalf_of("None"), upload=True)).allowed
