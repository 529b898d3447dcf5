"""An upload, from bytes to a committed image.

The order of writes: objects first, then one transaction that makes the image
visible. So a reader never sees an image without its files; what can be left behind by a
crash is files without an image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from image_service.domain.errors import ImageServiceError, OutcomeUnknown
from image_service.domain.images import (
    MAIN,
    THUMBNAIL,
    Image,
    Rendition,
    new_image_id,
    object_key,
)
from image_service.domain.times import utc_now
from image_service.ports import (
    EncodedPicture,
    ImageProcessor,
    ImageRepository,
    ObjectStore,
    ProcessedImage,
    SourceInfo,
)

log = structlog.stdlib.get_logger(__name__)


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

    def __init__(
        self,
        *,
        processor: ImageProcessor,
        objects: ObjectStore,
        repository: ImageRepository,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._processor = processor
        self._objects = objects
        self._repository = repository
        self._now = now
        self._storing: set[asyncio.Task[None]] = set()

    async def upload(self, user_id: str, new: NewImage) -> Image:
        """Store `new` for `user_id`. Raises the errors of the ports; leaves nothing half-done."""
        source = await self._processor.inspect(new.data)
        processed = await self._processor.process(new.data, source)
        image = self._describe(user_id, new, source, processed)
        # Shielded: a request that is cancelled leaves either a complete image or none.
        storing = asyncio.create_task(self._store(image, processed))
        self._storing.add(storing)  # the loop itself keeps only a weak reference
        storing.add_done_callback(self._storing.discard)
        await asyncio.shield(storing)
        return image

    async def aclose(self) -> None:
        """Wait until nothing is half-stored."""
        await asyncio.gather(*self._storing, return_exceptions=True)

    def _describe(
        self, user_id: str, new: NewImage, source: SourceInfo, processed: ProcessedImage
    ) -> Image:
        at = self._now()
        image_id = new_image_id(at)
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
                name: _rendition(object_key(user_id, image_id, name), picture)
                for name, picture in _pictures(processed).items()
            },
            format=processed.format,
            quality=processed.quality,
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

    async def _store(self, image: Image, processed: ProcessedImage) -> None:
        try:
            await self._put_all(image, processed)
            await self._repository.add(image)
        except OutcomeUnknown:
            # The image may be live: its files stay. They are settled by `reconcile`.
            log.exception("upload_outcome_unknown", image_id=image.id)
            raise
        except ImageServiceError:
            await self._discard(image)
            raise

    async def _put_all(self, image: Image, processed: ProcessedImage) -> None:
        pictures = _pictures(processed)
        results = await asyncio.gather(
            *(
                self._objects.put(rendition.key, pictures[name].data, image.mime_type)
                for name, rendition in image.renditions.items()
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _discard(self, image: Image) -> None:
        try:
            await self._objects.delete(image.object_keys)
        except ImageServiceError:
            log.warning("objects_left_behind", image_id=image.id, exc_info=True)


def _pictures(processed: ProcessedImage) -> dict[str, EncodedPicture]:
    return {MAIN: processed.main, THUMBNAIL: processed.thumbnail}


def _rendition(key: str, picture: EncodedPicture) -> Rendition:
    return Rendition(
        key=key, width=picture.width, height=picture.height, size_bytes=len(picture.data)
    )
