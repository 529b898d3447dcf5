"""Requests and uploads counted per user, in this process or in one place for all tasks.

Fixed windows that begin with a user's first request: one counter a limit, and the moment
of reset is exact, so that `Retry-After` is the truth. The price is that up to twice the
limit can pass around a reset.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from cachetools import LRUCache

from image_service.adapters.redis.link import RedisLink
from image_service.adapters.redis.scripts import COUNT
from image_service.domain.access import Caller, Kind, Rate, RateLimit, read_rate
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.limits import MACHINE_REQUEST_RATE, REQUEST_RATE, UPLOAD_RATE

log = structlog.stdlib.get_logger(__name__)

_MAX_WINDOWS: Final = 50_000  # 20 MB at most; a user has one, or two with uploads


class Windows(Protocol):
    """Counters of requests."""

    async def hit(
        self, user_id: str, windows: Sequence[tuple[str, int, int]], times: int = 1
    ) -> list[tuple[int, float]]:
        """Count a request, `times` over, in each of `windows`: (kind, limit, seconds).

        Returns (count, end in seconds since 1970) for each, up to and with the first that
        is over its limit; the ones after that aren't counted. Raises DependencyUnavailable.
        """
        ...


class WindowRateLimiter:
    """A `RateLimiter`; limits are written as `100/minute` or `100 per 5 minutes`.

    While `shared` fails, or without it, this process counts for itself in `local`: with
    many tasks a user then gets more than the limit, but never all there is.
    Raises ValueError for a limit it can't read.
    """

    def __init__(
        self,
        *,
        requests: str = REQUEST_RATE,
        uploads: str = UPLOAD_RATE,
        machine_requests: str = MACHINE_REQUEST_RATE,
        shared: Windows | None = None,
        local: Windows | None = None,
    ) -> None:
        self._requests = _parsed(requests)
        self._uploads = _parsed(uploads)
        self._machine_requests = _parsed(machine_requests)
        self._shared = shared
        self._local = local or MemoryWindows()
        self._alone = False

    async def hit(self, caller: Caller, *, upload: bool) -> RateLimit:
        """An upload counts as a request, too.

        Returns the limit that refuses, else the one with the smaller share left. A
        request over the limit of requests isn't counted as an upload, for it won't be one.
        """
        is_machine = caller.kind is Kind.MACHINE
        limits = [("requests", self._machine_requests if is_machine else self._requests)]
        if upload:
            limits.append((_uploads(caller), self._uploads))
        windows = [(kind, limit.amount, limit.seconds) for kind, limit in limits]
        counts = await self._count(caller.sender, windows)
        results = [
            RateLimit(
                limit=limit.amount,
                remaining=max(0, limit.amount - count),
                reset_at=math.ceil(ends_at),
                allowed=count <= limit.amount,
                description=f"{limit.amount} {kind.partition('#')[0]} per {limit.period}",
            )
            for (kind, limit), (count, ends_at) in zip(limits, counts, strict=False)
        ]
        return min(reversed(results), key=_share_left)

    async def charge(self, caller: Caller, uploads: int) -> None:
        windows = [(_uploads(caller), self._uploads.amount, self._uploads.seconds)]
        await self._count(caller.sender, windows, uploads)

    async def _count(
        self, sender: str, windows: Sequence[tuple[str, int, int]], times: int = 1
    ) -> list[tuple[int, float]]:
        if self._shared is None:
            return await self._local.hit(sender, windows, times)
        try:
            counts = await self._shared.hit(sender, windows, times)
        except DependencyUnavailable:
            self._note(alone=True)
            return await self._local.hit(sender, windows, times)
        self._note(alone=False)
        return counts

    def _note(self, *, alone: bool) -> None:
        """One line when an outage begins, and one when it is over."""
        if alone != self._alone:
            log.warning("rate_limits_counted_alone" if alone else "rate_limits_shared_again")
        self._alone = alone


def _uploads(caller: Caller) -> str:
    """The kind of a window; a machine has one for each user it uploads for."""
    return f"uploads#{caller.acting_for or ''}" if caller.kind is Kind.MACHINE else "uploads"


def counter_key(user_id: str, kind: str, seconds: int) -> str:
    """Kept apart from other names by its fixed ends, though a user id may hold colons."""
    return f"user:{user_id}:rate:{kind}:{seconds}"


class RedisWindows:
    """Counters that all tasks share; one round trip."""

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._clock = clock

    async def hit(
        self, user_id: str, windows: Sequence[tuple[str, int, int]], times: int = 1
    ) -> list[tuple[int, float]]:
        names = [counter_key(user_id, kind, seconds) for kind, _, seconds in windows]
        arguments = [number for _, limit, seconds in windows for number in (limit, seconds * 1000)]
        counts = await self._link.run(COUNT, names, [*arguments, times])
        now = self._clock()
        return [(count, now + milliseconds / 1000) for count, milliseconds in counts]


class MemoryWindows:
    """Counters in memory; past `max_windows`, the one longest unused starts over.

    Windows last by a clock that is never set; the wall's clock only dates their end.
    """

    def __init__(
        self,
        *,
        max_windows: int = _MAX_WINDOWS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._counts: LRUCache[tuple[str, str], tuple[int, float]] = LRUCache(max_windows)

    async def hit(
        self, user_id: str, windows: Sequence[tuple[str, int, int]], times: int = 1
    ) -> list[tuple[int, float]]:
        counts = []
        for kind, limit, seconds in windows:
            count, left = self._count(user_id, kind, seconds, times)
            counts.append((count, self._wall() + left))
            if count > limit:
                break
        return counts

    def _count(self, user_id: str, kind: str, seconds: int, times: int) -> tuple[int, float]:
        """The requests in the window, this one too, and the seconds it has left."""
        now = self._clock()
        count, ends_at = self._counts.get((user_id, kind), (0, 0.0))
        if ends_at <= now:
            count, ends_at = 0, now + seconds
        self._counts[user_id, kind] = (count + times, ends_at)
        return count + times, ends_at - now


def _parsed(text: str) -> Rate:
    try:
        return read_rate(text)
    except ValueError as error:
        raise ValueError(f"rate limit {text!r} is not understood: {error}") from None


def _share_left(limit: RateLimit) -> tuple[bool, float]:
    return limit.allowed, limit.remaining / limit.limit
