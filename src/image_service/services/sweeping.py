"""The sweeper of abandoned uploads: files that were announced and never committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from image_service.domain.errors import ImageServiceError
from image_service.domain.uploads import UploadIntent
from image_service.ports import ObjectStore, UploadIntents

log = structlog.stdlib.get_logger(__name__)

STALE_AFTER: Final = timedelta(hours=1)  # no upload takes that long
WATCHED: Final = 300.0  # seconds; nor that long, from its intent to its commit


class IntentSweeper:
    """Settles intents. Any number of sweepers may work at the same time.

    Beside being old by their own date, they must have been there for `watched` seconds since
    this sweeper first met them: so no clock, of this task or of the one that uploads, can make
    a live upload look abandoned.
    """

    def __init__(
        self,
        *,
        intents: UploadIntents,
        objects: ObjectStore,
        watched: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intents = intents
        self._objects = objects
        self._watched = watched
        self._clock = clock
        self._met: dict[str, float] = {}  # when, by image

    async def sweep(self, before: datetime) -> int:
        """Settle all intents up to that moment; how many left files behind.

        One that fails is left for the next time, and delays no other.
        """
        swept, met = 0, self._met
        self._met = {}
        async for intent in self._intents.stale(before):
            first = self._met[intent.image_id] = met.get(intent.image_id, self._clock())
            if self._clock() < first + self._watched:
                continue
            try:
                swept += await self.settle(intent)
            except ImageServiceError:
                log.warning("intent_not_settled", image_id=intent.image_id, exc_info=True)
        return swept

    async def settle(self, intent: UploadIntent) -> bool:
        """Returns whether it was withdrawn, and its files removed; else its image is committed."""
        if not await self._intents.withdraw(intent):
            return False
        await self._objects.delete(intent.object_keys)
        await self._intents.forget(intent)
        log.info("intent_swept", image_id=intent.image_id, user_id=intent.user_id)
        return True
