"""The contract of `RateLimiter`, over each storage it can count in."""

from __future__ import annotations

import asyncio
import time

import pytest
from limits.aio.storage import MemoryStorage, Storage

from image_service.adapters.rate_limit import BoundedMemoryStorage, LimitsRateLimiter


@pytest.fixture(params=[BoundedMemoryStorage, MemoryStorage])
def storage(request: pytest.FixtureRequest) -> Storage:
    return request.param()


async def test_counts_down_and_then_refuses(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="3/hour", storage=storage)
    hits = [await limiter.hit("alice", upload=False) for _ in range(5)]
    assert [hit.remaining for hit in hits] == [2, 1, 0, 0, 0]
    assert [hit.allowed for hit in hits] == [True, True, True, False, False]
    assert {hit.limit for hit in hits} == {3}
    assert all(3590 < hit.reset_at - time.time() <= 3601 for hit in hits)


async def test_users_do_not_share(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="1/hour", storage=storage)
    for user in ("alice", "bob", "alice@x", "requests"):
        assert (await limiter.hit(user, upload=False)).allowed
        assert not (await limiter.hit(user, upload=False)).allowed


async def test_an_upload_counts_against_both(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="3/hour", uploads="100/hour", storage=storage)
    for _ in range(3):
        assert (await limiter.hit("alice", upload=True)).allowed
    refused = await limiter.hit("alice", upload=True)
    assert (refused.allowed, refused.limit) == (False, 3)
    assert refused.description == "3 requests per hour"


async def test_reads_go_on_when_uploads_are_used_up(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="100/hour", uploads="1/hour", storage=storage)
    assert (await limiter.hit("alice", upload=True)).allowed
    refused = await limiter.hit("alice", upload=True)
    assert (refused.allowed, refused.description) == (False, "1 uploads per hour")
    read = await limiter.hit("alice", upload=False)
    assert (read.allowed, read.limit, read.remaining) == (True, 100, 97)


async def test_equal_limits_are_counted_apart(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="2/hour", uploads="2/hour", storage=storage)
    assert (await limiter.hit("alice", upload=True)).remaining == 1
    assert (await limiter.hit("alice", upload=False)).remaining == 0


async def test_the_smaller_share_is_told(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="10/hour", uploads="100/hour", storage=storage)
    assert (await limiter.hit("alice", upload=True)).limit == 10  # 9 of 10 before 99 of 100
    limiter = LimitsRateLimiter(requests="1000/hour", uploads="100/hour", storage=storage)
    assert (await limiter.hit("bob", upload=True)).limit == 100


async def test_a_request_refused_as_such_uses_up_no_upload(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="1/second", uploads="2/hour", storage=storage)
    allowed = [(await limiter.hit("alice", upload=True)).allowed for _ in range(20)]
    assert allowed[0]
    assert not all(allowed)
    await asyncio.sleep(1.05)
    assert (await limiter.hit("alice", upload=True)).allowed


async def test_a_crowd_gets_exactly_the_limit(storage: Storage) -> None:
    limiter = LimitsRateLimiter(requests="50/hour", storage=storage)
    hits = await asyncio.gather(*(limiter.hit("alice", upload=False) for _ in range(200)))
    assert sum(hit.allowed for hit in hits) == 50
