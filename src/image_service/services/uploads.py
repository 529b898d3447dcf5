"""An upload, from bytes to a committed image.

Until the first file is put, an upload that is cancelled takes back what it announced; from
then on it is carried through, whoever goes away.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from image_service.domain.access import Action, Caller, permit
from image_service.domain.errors import IdempotencyInProgress, IdempotencyKeyReused
from image_service.domain.images import Image, new_image_id
from image_service.domain.pictures import ProcessedImage, SourceInfo
from image_service.domain.renditions import RenditionSpec, wanted
from image_service.domain.times import utc_now
from image_service.domain.uploads import CLAIM_LEASE, Claim, Uploaded, UploadIntent
from image_service.ports import IdempotencyRecords, ImageProcessor, RateLimiter, UploadIntents
from image_service.services.admission import Admission, AdmissionLimits, Turns
from image_service.services.storing import ImageWriter
from image_service.telemetry import audit_log


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """A received upload: the file whole, the fields already clean (`domain.fields`)."""

    data: bytes
    checksum: str
    filename: str | None
    album_id: str | None
    title: str | None
    description: str | None
    alt_text: str | None
    tags: tuple[str, ...]


class UploadService:
    """Validates, processes and stores pictures."""

    def __init__(  # noqa: PLR0913 - what an upload passes through
        self,
        *,
        renditions: Sequence[RenditionSpec],
        processor: ImageProcessor,
        intents: UploadIntents,
        records: IdempotencyRecords,
        writer: ImageWriter,
        admission: Admission | None = None,
        limiter: RateLimiter | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._renditions = renditions
        self._processor = processor
        self._intents = intents
        self._records = records
        self._writer = writer
        self._admission = admission or Admission(AdmissionLimits())
        self._limiter = limiter
        self._headers = Turns()
        self._now = now
        self._running: set[asyncio.Task[None]] = set()

    async def upload(
        self, caller: Caller, new: NewImage, idempotency_key: str | None = None
    ) -> Uploaded:
        """Store `new` for the caller, or find what an earlier request with the key stored.

        Raises ScopeMissing, NotAuthorized and the errors of the ports; leaves nothing half-done.
        """
        permit(caller, Action.UPLOAD, caller.acting_as)
        user_id = caller.user_id
        async with self._headers.turn(caller.share):
            source = await self._processor.inspect(new.data)
        claim = self._new_claim(user_id, new, idempotency_key)
        earlier = await self._claim(claim)
        if earlier is not None:
            audit_log.used("upload", caller, user_id, earlier.id)
            return Uploaded(earlier, replayed=True)
        specs = wanted(self._renditions, source.width, source.height)
        intent = self._new_intent(user_id, specs)
        has_turn = False
        try:
            async with self._admission.processing(caller.share, source.decode_bytes):
                has_turn = True
                processed = await self._process(caller, new.data, source, specs, intent)
        except BaseException:
            # Without a turn, nothing was announced.
            undo = self._writer.abandon(intent, claim) if has_turn else self._writer.release(claim)
            await self._carried_through(undo)
            raise
        image = _describe(intent, new, source, processed)
        store = self._writer.store(caller, image, processed.pictures, intent, claim)
        await self._carried_through(store)
        return Uploaded(image)

    async def aclose(self) -> None:
        """Wait until nothing is half-stored."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _claim(self, claim: Claim | None) -> Image | None:
        if claim is None:
            return None
        try:
            return await self._records.claim(claim)
        except (IdempotencyInProgress, IdempotencyKeyReused):
            raise
        except BaseException:
            # It may be held all the same, and then would be for as long as its lease.
            self._start(self._writer.release(claim))
            raise

    async def _process(
        self,
        caller: Caller,
        data: bytes,
        source: SourceInfo,
        specs: Sequence[RenditionSpec],
        intent: UploadIntent,
    ) -> ProcessedImage:
        """Both are waited for, so that nothing is announced after it was taken back."""
        processed, announced = await asyncio.gather(
            self._processor.process(data, source, specs, partial(self._charge, caller)),
            self._intents.announce(intent),
            return_exceptions=True,
        )
        if isinstance(processed, BaseException):
            raise processed
        if isinstance(announced, BaseException):
            raise announced
        return processed

    def _charge(self, caller: Caller, cpu_seconds: float) -> None:
        """Count a costly picture as more than one upload: the square of its whole seconds.

        What takes less than a second counts as one; what runs into a limit of eight, as 65.
        """
        uploads = int(cpu_seconds) ** 2
        if uploads and self._limiter is not None:
            self._start(self._limiter.charge(caller, uploads))

    async def _carried_through(self, work: Coroutine[Any, Any, None]) -> None:
        """A request that is cancelled stops waiting for `work`, but does not stop it."""
        await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # a request that waits raises it; else the loop would log it

    def _new_claim(self, user_id: str, new: NewImage, key: str | None) -> Claim | None:
        if key is None:
            return None
        now = self._now()
        return Claim(
            user_id=user_id,
            key=key,
            fingerprint=fingerprint(new),
            owner=str(uuid.uuid4()),
            claimed_at=now,
            expires_at=now + CLAIM_LEASE,
        )

    def _new_intent(self, user_id: str, specs: Sequence[RenditionSpec]) -> UploadIntent:
        at = self._now()
        image_id = new_image_id(at)
        return UploadIntent(
            image_id=image_id,
            user_id=user_id,
            object_keys=tuple(spec.key(user_id, image_id) for spec in specs),
            created_at=at,
        )


def fingerprint(new: NewImage) -> str:
    """Equal for equal uploads: of the file and the fields, both as the service took them.

    The file's name is left out, because phones make up a new one for each try.
    """
    fields = [new.checksum, new.album_id, new.title, new.description, new.alt_text, new.tags]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _describe(
    intent: UploadIntent, new: NewImage, source: SourceInfo, processed: ProcessedImage
) -> Image:
    at, user_id, image_id = intent.created_at, intent.user_id, intent.image_id
    return Image(
        id=image_id,
        user_id=user_id,
        album_id=new.album_id,
        original_filename=new.filename,
        original_mime_type=source.mime_type,
        original_width=source.width,
        original_height=source.height,
        file_size=len(new.data),
        checksum=new.checksum,
        renditions={
            name: picture.stored(user_id, image_id) for name, picture in processed.pictures.items()
        },
        format=processed.main.spec.format,
        quality=processed.main.spec.quality,
        placeholder=processed.placeholder,
        dominant_color=processed.dominant_color,
        title=new.title,
        description=new.description,
        alt_text=new.alt_text,
        tags=new.tags,
        uploaded_at=at,
        created_at=at,
        updated_at=at,
    )
