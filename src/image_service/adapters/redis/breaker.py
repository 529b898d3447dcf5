"""A circuit breaker: leaves a failing system alone during a cooldown.

The pattern is the circuit breaker of M. Nygard, "Release It!" (2007).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from image_service.domain.time_limits import REDIS_COOLDOWN

log = structlog.stdlib.get_logger(__name__)

_THRESHOLD: Final = 5


class CircuitBreaker:
    """Opens after `threshold` failures in a row; then admits one call each `cooldown` seconds.

    The first success closes it. An outage is two lines in the log, not one a request.
    """

    def __init__(
        self,
        system: str,
        *,
        threshold: int = _THRESHOLD,
        cooldown: float = REDIS_COOLDOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._threshold = threshold
        self._cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._next_attempt = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._threshold

    def admits(self) -> bool:
        """Returns whether to call now. While it is open, asking takes the one call let in."""
        if not self.is_open:
            return True
        if self._clock() < self._next_attempt:
            return False
        # Moved on here, not when the call ends: one that is cancelled leaves nothing behind.
        self._next_attempt = self._clock() + self._cooldown
        return True

    def succeeded(self) -> None:
        if self.is_open:
            log.warning("system_answers_again", system=self._system)
        self._failures = 0

    def failed(self, cause: Exception) -> None:
        self._failures += 1
        if self._failures == self._threshold:
            self._next_attempt = self._clock() + self._cooldown
            reason = f"{type(cause).__name__}: {cause}"
            log.warning("system_left_alone", system=self._system, cause=reason)
