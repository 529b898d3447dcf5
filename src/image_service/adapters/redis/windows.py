"""Counters of requests that all tasks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from image_service.adapters.redis import keys
from image_service.adapters.redis.link import RedisLink
from image_service.adapters.redis.scripts import COUNT


class RedisWindows:
    """Fixed windows that begin with a user's first request; one round trip."""

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.time) -> None:
        self._link = link
        self._clock = clock

    async def hit(
        self, user_id: str, windows: Sequence[tuple[str, int, int]], times: int = 1
    ) -> list[tuple[int, float]]:
        """Count a request, `times` over, in each of `windows`: (kind, limit, seconds).

        Returns (count, end in seconds since 1970) for each up to the first that is over
        its limit. Raises DependencyUnavailable.
        """
        names = [keys.counter(user_id, kind, seconds) for kind, _, seconds in windows]
        arguments = [number for _, limit, seconds in windows for number in (limit, seconds * 1000)]
        counts = await self._link.run(COUNT, names, [*arguments, times])
        now = self._clock()
        return [(count, now + milliseconds / 1000) for count, milliseconds in counts]
