from __future__ import annotations

import sys

import pytest
from tests.unit.builders import caller

from image_service.adapters.redis.rate_limit import MemoryWindows, WindowRateLimiter
from image_service.domain.access import RateLimit
from image_service.domain.errors import DependencyUnavailable


class Clock:
    now = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, requests: str = "1000/second", uploads: str = "3/minute"):
    windows = MemoryWindows(clock=clock, wall=clock)
    return WindowRateLimiter(requests=requests, uploads=uploads, local=windows)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "fast", "100", "/second", "100/fortnight", "-1/second", "0/second", "1.5/second",
        "1/second;5/minute", "1/second,5/minute", "\N{ARABIC-INDIC DIGIT ONE}/second",
        "9" * 5000 + "/second",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["requests", "uploads"])
def test_a_limit_it_cannot_read_is_refused_in_one_line(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"rate limit .* is not understood: write .*100/minute"):
        WindowRateLimiter(**{name: text})


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("1000/second", "1000 requests per second"),
        ("5 per minute", "5 requests per minute"),
        ("5/10 minutes", "5 requests per 10 minutes"),
        ("7/HOUR", "7 requests per hour"),
    ],
)
async def test_describes_the_limit(clock: Clock, text: str, description: str) -> None:
    hit = await limiter(clock, requests=text).hit(caller("alice"), upload=False)
    assert hit.description == description


async def test_the_window_begins_with_the_first_request_and_then_starts_over(
    clock: Clock,
) -> None:
    few = limiter(clock, requests="2/10 seconds")
    start = clock.now
    for seconds, remaining, allowed in [(0, 1, True), (4, 0, True), (5, 0, False)]:
        clock.now = start + seconds
        hit = await few.hit(caller("alice"), upload=False)
        # The window ends at a quarter past the second: the full second after it is told.
        assert hit == RateLimit(2, remaining, 1_790_000_011, allowed, "2 requests per 10 seconds")
    clock.now = start + 10
    hit = await few.hit(caller("alice"), upload=False)
    assert (hit.remaining, hit.reset_at, hit.allowed) == (1, 1_790_000_021, True)


async def test_refused_requests_do_not_prolong_the_wait(clock: Clock) -> None:
    few = limiter(clock, requests="1/10 seconds")
    resets = {(await few.hit(caller("alice"), upload=False)).reset_at for _ in range(50)}
    assert resets == {1_790_000_011}


async def test_the_number_of_users_is_bounded(clock: Clock) -> None:
    windows = MemoryWindows(clock=clock, max_windows=100)
    many = WindowRateLimiter(requests="2/hour", local=windows)
    for number in range(1000):
        await many.hit(caller(f"user-{number}"), upload=True)
        await many.hit(caller("always-there"), upload=False)
    assert len(windows._counts) == 100
    # Whoever is active is remembered, however many others come.
    assert not (await many.hit(caller("always-there"), upload=False)).allowed


async def test_the_default_bound_keeps_memory_small(clock: Clock) -> None:
    windows = MemoryWindows(clock=clock, wall=clock)
    await windows.hit("x" * 128, [("requests", 1, 1)])
    [(kept, window)] = windows._counts.items()
    assert sys.getsizeof(kept) + sys.getsizeof(kept[0]) + sys.getsizeof(window) < 400
    assert windows._counts.maxsize == 50_000


class Shared:
    """Windows of all tasks that can be taken away."""

    def __init__(self, clock: Clock) -> None:
        self.windows = MemoryWindows(clock=clock, wall=clock)
        self.down = False

    async def hit(self, user_id, windows, times=1):
        if self.down:
            raise DependencyUnavailable
        return await self.windows.hit(user_id, windows, times)


async def test_while_the_shared_count_is_away_the_process_counts_for_itself(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shared = Shared(clock)
    one, other = (WindowRateLimiter(requests="2/hour", shared=shared) for _ in range(2))
    assert [(await task.hit(caller("alice"), upload=False)).remaining for task in (one, other)] == [
        1,
        0,
    ]
    shared.down = True
    assert [(await one.hit(caller("alice"), upload=False)).allowed for _ in range(4)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (await other.hit(caller("alice"), upload=True)).allowed
    shared.down = False
    assert not (
        await one.hit(caller("alice"), upload=False)
    ).allowed  # what was shared still counts
    logged = caplog.text
    assert logged.count("rate_limits_counted_alone") == 2  # one a task
    assert logged.count("rate_limits_shared_again") == 1


@pytest.mark.parametrize("step", [-3600, -61, 61, 3600])
async def test_a_wall_clock_that_is_set_moves_no_window(clock: Clock, step: float) -> None:
    wall = Clock()
    few = WindowRateLimiter(uploads="3/minute", local=MemoryWindows(clock=clock, wall=wall))
    for _ in range(2):
        await few.hit(caller("alice"), upload=True)
    wall.now += step
    last = await few.hit(caller("alice"), upload=True)
    assert (last.allowed, last.remaining) == (True, 0)
    assert not (await few.hit(caller("alice"), upload=True)).allowed
    clock.now += 60
    assert (await few.hit(caller("alice"), upload=True)).allowed
    assert 59 < last.reset_at - wall.now < 61
