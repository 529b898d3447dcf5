"""Sweepers of what was abandoned: uploads never committed, and holds of rerenders."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from image_service.domain.errors import ImageServiceError
from image_service.domain.outbox import OutboxEntry
from image_service.domain.rerenders import HoldLost, Rerender
from image_service.domain.times import utc_now
from image_service.domain.uploads import UploadIntent
from image_service.ports import ImageRepository, ObjectStore, Rerenders, UploadIntents

log = structlog.stdlib.get_logger(__name__)

STALE_AFTER: Final = timedelta(hours=1)  # no upload takes that long
WATCHED: Final = 300.0  # seconds; nor that long, from its intent to its commit


class _Watch:
    """Keeps since when this process has met things, by its own monotonic clock."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._met: dict[str, float] = {}

    def round(self) -> Callable[[str], bool]:
        """Returns what says of a thing whether it was met so long ago; forgets what is not."""
        met, self._met = self._met, {}

        def met_for_long(name: str) -> bool:
            first = self._met[name] = met.get(name, self._clock())
            return self._clock() >= first + self._seconds

        return met_for_long


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
        self._watch = _Watch(watched, clock)

    async def sweep(self, before: datetime) -> int:
        """Settle all intents up to that moment; how many left files behind.

        One that fails is left for the next time, and delays no other.
        """
        swept, met_for_long = 0, self._watch.round()
        async for intent in self._intents.stale(before):
            if not met_for_long(intent.image_id):
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


class RerenderSweeper:
    """Ends holds. Any number of sweepers may work at the same time; `watched` as above.

    Of a hold's files those are deleted that the image, as it is by then, does not name.
    """

    def __init__(
        self,
        rerenders: Rerenders,
        repository: ImageRepository,
        objects: ObjectStore,
        *,
        now: Callable[[], datetime] = utc_now,
        watched: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rerenders = rerenders
        self._repository = repository
        self._objects = objects
        self._now = now
        self._watch = _Watch(watched, clock)

    async def sweep(self, before: datetime) -> int:
        """As of intents: end all holds since that moment or longer; how many left files."""
        swept, met_for_long = 0, self._watch.round()
        async for hold in self._rerenders.stale(before):
            if not met_for_long(f"{hold.image_id} {hold.owner}"):
                continue
            try:
                swept += await self.settle(hold)
            except Exception:  # of an image that can't be read, too
                log.warning("rerender_not_settled", image_id=hold.image_id, exc_info=True)
        return swept

    async def settle(self, hold: Rerender) -> bool:
        """Take it over, and end it; whether it was as given, and left files."""
        taken = await self._rerenders.take_over(hold, self._now())
        if taken is None or not await self.clear(taken):
            return False
        log.info("rerender_swept", image_id=hold.image_id, user_id=hold.user_id)
        return True

    async def clear(self, hold: Rerender) -> bool:
        """End a hold of one's own; whether there were files to delete.

        What readers have been given is forgotten by the CDN, too, once it is deleted: never
        before, an edge would cache it again. Raises HoldLost where it stood still for so long that
        others may have ended the hold, and the image may name files by now that it did not.
        """
        keys = hold.unnamed(await self._repository.get(hold.image_id))
        if self._now() >= hold.began_at + STALE_AFTER / 2:
            raise HoldLost
        certain = await self._objects.delete(keys)
        following = None
        if keys and hold.committed:
            following = OutboxEntry.invalidation(hold.removal(keys), self._now())
        # A deletion that is still on its way must not meet the file of a later hold.
        left = None if certain else hold.resting(self._now())
        await self._rerenders.end(hold, following, left=left)
        return bool(keys)
