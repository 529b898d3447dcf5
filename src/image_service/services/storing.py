"""The writes of an upload: files first, then the commit that makes the image visible.

Whatever fails or dies on the way, an intent says which files there may be. Files are only
removed once the intent has been withdrawn, which no commit survives: so a live image never
loses its files, and files without an image are always found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

import structlog

from image_service.domain.access import Caller
from image_service.domain.errors import ImageServiceError
from image_service.domain.images import Image
from image_service.domain.pictures import EncodedPicture
from image_service.domain.uploads import Claim, UploadIntent
from image_service.ports import (
    IdempotencyRecords,
    ImageCache,
    ImageRepository,
    ObjectStore,
    UploadIntents,
)
from image_service.telemetry import audit_log

log = structlog.stdlib.get_logger(__name__)


class ImageWriter:
    """Stores an image whole, or leaves nothing of it."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        repository: ImageRepository,
        intents: UploadIntents,
        records: IdempotencyRecords,
        cache: ImageCache,
    ) -> None:
        self._objects = objects
        self._repository = repository
        self._intents = intents
        self._records = records
        self._cache = cache

    async def store(
        self,
        caller: Caller,
        image: Image,
        pictures: Mapping[str, EncodedPicture],
        intent: UploadIntent,
        claim: Claim | None,
    ) -> None:
        """Put `pictures`, by rendition, and commit for `caller`. Raises the errors of the ports."""
        try:
            await self._put_all(image, pictures)
            async with self._cache.writing(image.user_id, image.id):
                with audit_log.change("upload", image, caller):
                    await self._repository.add(image, intent=intent, claim=claim)
        except ImageServiceError as failure:
            if await self._is_committed(image, intent, failure):
                log.warning("upload_committed_unanswered", image_id=image.id, cause=failure)
                return
            await self._discard(intent, claim)
            raise

    async def abandon(self, intent: UploadIntent, claim: Claim | None) -> None:
        """Take back what was announced and claimed, before any file was put."""
        await asyncio.gather(
            _tried("intent_left_behind", self._intents.forget(intent)), self.release(claim)
        )

    async def release(self, claim: Claim | None) -> None:
        if claim is not None:
            await _tried("claim_left_behind", self._records.release(claim))

    async def _put_all(self, image: Image, pictures: Mapping[str, EncodedPicture]) -> None:
        results = await asyncio.gather(
            *(
                self._objects.put(rendition.key, pictures[name].data, pictures[name].spec.mime_type)
                for name, rendition in image.renditions.items()
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _is_committed(
        self, image: Image, intent: UploadIntent, failure: ImageServiceError
    ) -> bool:
        """Settles what became of the commit. Where that fails too, the sweeper will.

        An intent that can't be withdrawn went with the commit, or a sweeper had it; so only
        the image itself shows it. Without its intent none can come any more.
        """
        try:
            if await self._intents.withdraw(intent):
                return False
            return await self._repository.get(image.id) is not None
        except ImageServiceError as unsettled:
            log.exception("upload_unsettled", image_id=intent.image_id)
            raise failure from unsettled

    async def _discard(self, intent: UploadIntent, claim: Claim | None) -> None:
        """The intent stays: a put that was given up may still arrive, for the sweeper to find."""
        await asyncio.gather(
            _tried("objects_left_behind", self._objects.delete(intent.object_keys)),
            self.release(claim),
        )


async def _tried(event: str, step: Awaitable[object]) -> None:
    """The first failure is the one to report; what remains undone, others will find."""
    try:
        await step
    except ImageServiceError:
        log.warning(event, exc_info=True)
