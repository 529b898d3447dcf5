from __future__ import annotations

import pytest

from image_service.adapters.redis.link import CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("redis", threshold=3, cooldown=5, clock=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(ConnectionError("gone"))


def test_opens_after_failures_in_a_row_only(breaker: CircuitBreaker):
    for _ in range(10):
        fail(breaker, 2)
        breaker.succeeded()
    fail(breaker, 2)
    assert breaker.admits()
    fail(breaker, 1)
    assert not breaker.admits()


def test_lets_one_call_in_each_cooldown_whatever_becomes_of_it(
    breaker: CircuitBreaker, clock: Clock
):
    fail(breaker, 3)
    for _ in range(3):
        clock.now += 4.9
        assert not breaker.admits()
        clock.now += 0.1
        assert breaker.admits()  # and is then cancelled, or fails
        assert not breaker.admits()


def test_the_first_success_closes_it(breaker: CircuitBreaker, clock: Clock):
    fail(breaker, 30)
    clock.now += 5
    assert breaker.admits()
    breaker.succeeded()
    assert all(breaker.admits() for _ in range(10))
    fail(breaker, 2)
    assert breaker.admits()


def test_an_outage_is_two_lines(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture):
    fail(breaker, 50)
    breaker.succeeded()
    breaker.succeeded()
    assert caplog.text.count("system_left_alone") == 1
    assert caplog.text.count("system_answers_again") == 1
    assert len(caplog.records) == 2
