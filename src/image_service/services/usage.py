"""The service of a user's usage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from image_service.domain.access import Caller
from image_service.domain.usage import AlbumPage, AlbumQuery, Amount
from image_service.ports import UsageCounters


@dataclass(frozen=True, slots=True)
class Usage:
    """Over all of the user's images; `albums` is None where they were not asked for."""

    total: Amount
    albums: AlbumPage | None


class UsageService:
    """Reads the counters as last committed: past the cache, they cost an item or a page."""

    def __init__(self, counters: UsageCounters) -> None:
        self._counters = counters

    async def of(self, caller: Caller, albums: AlbumQuery | None = None) -> Usage:
        user_id = caller.user_id
        if albums is None:
            return Usage(await self._counters.total(user_id), None)
        total, page = await asyncio.gather(
            self._counters.total(user_id), self._counters.albums(user_id, albums)
        )
        return Usage(total, page)
