"""The service of a user's usage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from image_service.domain.access import Action, Caller, permit
from image_service.domain.usage import AlbumPage, AlbumQuery, Amount
from image_service.ports import UsageCounters
from image_service.telemetry import audit_log


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
        """Raises ScopeMissing, NotAuthorized."""
        permit(caller, Action.COUNT, caller.acting_as)
        user_id = caller.user_id
        usage = await self._read(user_id, albums)
        audit_log.used("usage", caller, user_id)
        return usage

    async def _read(self, user_id: str, albums: AlbumQuery | None) -> Usage:
        if albums is None:
            return Usage(await self._counters.total(user_id), None)
        total, page = await asyncio.gather(
            self._counters.total(user_id), self._counters.albums(user_id, albums)
        )
        return Usage(total, page)
