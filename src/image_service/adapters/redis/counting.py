"""A stand-in for the cache that only counts the hits a cache would have had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import Final

from cachetools import TTLCache

from image_service.domain.images import Image
from image_service.domain.listing import Listing, ListQuery
from image_service.telemetry.telemetry import Telemetry

_IMAGE_LIFE: Final = 3600.0  # seconds, as in Redis
_PAGE_LIFE: Final = 300.0
_FENCE: Final = 5.0
_MAX_KEYS: Final = 20_000  # of each kind; 10 MB at most


class NullCache:
    """An `ImageCache` that reads the store every time.

    It remembers keys, without values, to count the hits that Redis would have had. With
    several tasks that is an underestimate: each sees only its own requests.
    """

    def __init__(self, telemetry: Telemetry, *, clock: Callable[[], float] = monotonic) -> None:
        self._telemetry = telemetry
        self._images: TTLCache[str, None] = TTLCache(_MAX_KEYS, _IMAGE_LIFE, clock)
        self._pages: TTLCache[tuple[str, int, ListQuery], None]
        self._pages = TTLCache(_MAX_KEYS, _PAGE_LIFE, clock)
        # The number of a user's last write; older pages have run out before it has.
        self._writes: TTLCache[str, int] = TTLCache(_MAX_KEYS, _PAGE_LIFE, clock)
        self._fenced: TTLCache[str, None] = TTLCache(_MAX_KEYS, _FENCE, clock)
        self._numbers = count(1)

    async def image(
        self, user_id: str, image_id: str, read: Callable[[], Awaitable[Image | None]]
    ) -> Image | None:
        hit = image_id in self._images
        self._telemetry.cache_requests("image", "would_hit" if hit else "would_miss").inc()
        image = await read()
        if image is not None and image.user_id == user_id and not hit:
            self._images[image_id] = None
        return image

    async def listing(
        self, user_id: str, query: ListQuery, read: Callable[[], Awaitable[Listing]]
    ) -> Listing:
        key = (user_id, self._writes.get(user_id, 0), query)
        hit = key in self._pages
        self._telemetry.cache_requests("page", "would_hit" if hit else "would_miss").inc()
        if not hit and user_id not in self._fenced:
            self._pages[key] = None
        return await read()

    @asynccontextmanager
    async def writing(self, user_id: str, image_id: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.purge(user_id, image_id)

    async def purge(self, user_id: str, image_id: str) -> None:
        self._images.pop(image_id, None)
        self._writes[user_id] = next(self._numbers)
        self._fenced[user_id] = None
