"""Requests and uploads counted per user, on the `limits` library.

Fixed windows that begin with a user's first request: one counter a limit, and the moment
of reset is exact, so that `Retry-After` is the truth. The price is that up to twice the
limit can pass around a reset.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import structlog
from cachetools import LRUCache
from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from image_service.ports import RateLimit

log = structlog.stdlib.get_logger(__name__)

_MAX_WINDOWS: Final = 50_000  # 20 MB at most; a user has one, or two with uploads


class LimitsRateLimiter:
    """A `RateLimiter`; limits are written as `100/minute` or `100 per 5 minutes`.

    `storage` is any of `limits.aio.storage`; without one, this process counts for itself.
    Raises ValueError for a limit it can't read.
    """

    def __init__(
        self,
        *,
        requests: str = "1000/second",
        uploads: str = "100/minute",
        storage: Storage | None = None,
    ) -> None:
        self._requests = _parsed(requests)
        self._uploads = _parsed(uploads)
        self._limiter = FixedWindowRateLimiter(storage or BoundedMemoryStorage())

    async def hit(self, user_id: str, *, upload: bool) -> RateLimit:
        """An upload counts as a request, too.

        The answer is the limit that refuses, else the one with the smaller share left. A
        request over the limit of requests isn't counted as an upload, for it won't be one.
        """
        try:
            answer = await self._count(self._requests, "requests", user_id)
            if upload and answer.allowed:
                as_upload = await self._count(self._uploads, "uploads", user_id)
                answer = min(as_upload, answer, key=_share_left)
        except Exception:  # a limiter that is down must not take the service with it
            log.exception("rate_limit_unavailable")
            return _unlimited(self._uploads if upload else self._requests)
        return answer

    async def _count(self, limit: RateLimitItem, kind: str, user_id: str) -> RateLimit:
        allowed = await self._limiter.hit(limit, kind, user_id)
        reset_at, remaining = await self._limiter.get_window_stats(limit, kind, user_id)
        return RateLimit(
            limit=limit.amount,
            remaining=remaining,
            reset_at=math.ceil(reset_at),
            allowed=allowed,
            description=_description(limit, kind),
        )


class BoundedMemoryStorage(Storage):
    """Counters in memory; past `max_windows`, the one longest unused starts over.

    The library's own memory storage walks through all its keys at every hit (measured:
    1 ms with 10,000 of them, 8 ms with 50,000), and has no bound within a window.
    """

    STORAGE_SCHEME: list[str] | None = None  # not made from a URI

    def __init__(
        self, *, max_windows: int = _MAX_WINDOWS, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._clock = clock
        self._windows: LRUCache[str, tuple[int, float]] = LRUCache(max_windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        count, expires_at = self._window(key)
        self._windows[key] = (count + amount, expires_at or self._clock() + expiry)
        return count + amount

    async def get(self, key: str) -> int:
        return self._window(key)[0]

    async def get_expiry(self, key: str) -> float:
        """Seconds since 1970; the present where nothing has been counted."""
        return self._window(key)[1] or self._clock()

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _window(self, key: str) -> tuple[int, float]:
        """Count and end of the window that is open; zeros where none is."""
        count, expires_at = self._windows.get(key, (0, 0.0))
        return (count, expires_at) if expires_at > self._clock() else (0, 0.0)


def _parsed(text: str) -> RateLimitItem:
    try:
        [limit] = parse_many(text)
    except ValueError:  # not understood, or several at once
        limit = None
    if limit is None or limit.amount < 1:
        raise ValueError(
            f"rate limit {text!r} is not understood: write a number above 0, '/', and second, "
            "minute, hour or day, such as 100/minute"
        )
    return limit


def _description(limit: RateLimitItem, kind: str) -> str:
    period = limit.GRANULARITY.name
    every = period if limit.multiples == 1 else f"{limit.multiples} {period}s"
    return f"{limit.amount} {kind} per {every}"


def _share_left(limit: RateLimit) -> tuple[bool, float]:
    return limit.allowed, limit.remaining / limit.limit


def _unlimited(limit: RateLimitItem) -> RateLimit:
    return RateLimit(
        limit=limit.amount,
        remaining=limit.amount,
        reset_at=math.ceil(time.time()),
        allowed=True,
        description="",
    )
