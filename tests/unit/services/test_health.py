from __future__ import annotations

import asyncio

import pytest
from tests import virtual_time

from image_service.services.health import HealthService


class Probe:
    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None
        self.hangs = False
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        await asyncio.sleep(3600 if self.hangs else 0)
        if self.failure:
            raise self.failure


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def service(required: Probe, optional: Probe | None, clock: Clock) -> HealthService:
    return HealthService(
        required=[required], optional={"redis": optional}, timeout=0.05, clock=clock
    )


@pytest.mark.parametrize(
    ("required_down", "optional_down", "status"),
    [
        (False, False, "healthy"),
        (True, False, "unhealthy"),
        (False, True, "degraded"),
        (True, True, "unhealthy"),
    ],
)
@virtual_time.MARK
async def test_the_whole_follows_from_the_parts(required_down, optional_down, status, clock):
    s3, redis = Probe("s3"), Probe("redis")
    s3.failure = OSError("down") if required_down else None
    redis.hangs = optional_down
    report = await service(s3, redis, clock).report()
    assert report.status == status
    assert report.checks["s3"].status == ("down" if required_down else "up")
    assert report.checks["redis"].status == ("down" if optional_down else "up")


@virtual_time.MARK
async def test_what_is_not_configured_is_disabled(clock: Clock):
    report = await service(Probe("s3"), None, clock).report()
    assert (report.status, report.checks["redis"].status) == ("healthy", "disabled")


@virtual_time.MARK
async def test_answers_are_kept_for_a_second_and_shared(clock: Clock):
    s3 = Probe("s3")
    health = service(s3, None, clock)
    await asyncio.gather(*(health.report() for _ in range(50)))
    assert s3.pings == 1
    clock.now += 0.99
    await health.report()
    assert s3.pings == 1
    clock.now += 0.02
    s3.failure = OSError("down")
    assert (await health.report()).status == "unhealthy"
    assert s3.pings == 2
