"""The sweeper of abandoned uploads: files that were announced and never committed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from image_service.domain.errors import ImageServiceError
from image_service.domain.uploads import UploadIntent
from image_service.ports import ObjectStore, UploadIntents

log = structlog.stdlib.get_logger(__name__)

STALE_AFTER: Final = timedelta(hours=1)  # no upload takes that long


class IntentSweeper:
    """Settles intents. Any number of sweepers may work at the same time."""

    def __init__(self, *, intents: UploadIntents, objects: ObjectStore) -> None:
        self._intents = intents
        self._objects = objects

    async def sweep(self, before: datetime) -> int:
        """Settle all intents up to that moment; how many left files behind.

        One that fails is left for the next time, and holds nobody up.
        """
        swept = 0
        async for intent in self._intents.stale(before):
            try:
                swept += await self.settle(intent)
            except ImageServiceError:
                log.warning("intent_not_settled", image_id=intent.image_id, exc_info=True)
        return swept

    async def settle(self, intent: UploadIntent) -> bool:
        """Whether it was withdrawn, and its files removed; else its image is committed."""
        if not await self._intents.withdraw(intent):
            return False
        await self._objects.delete(intent.object_keys)
        await self._intents.forget(intent)
        log.info("intent_swept", image_id=intent.image_id, user_id=intent.user_id)
        return True
