"""Domain values for unit tests, and a processor that needs no libvips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from image_service.domain.access import Caller, Kind
from image_service.domain.errors import ImageServiceError, InvalidImage
from image_service.domain.images import Image, new_image_id
from image_service.domain.pictures import EncodedPicture, ProcessedImage, SourceInfo
from image_service.domain.renditions import RENDITIONS, Rendition, RenditionSpec, wanted
from image_service.ports import Spent, ignore_spent
from image_service.services.uploads import NewImage

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)
NEW = NewImage(
    data=b"picture",
    checksum="c0ffee",
    filename="a.jpg",
    album_id=None,
    title="Gate",
    description=None,
    alt_text=None,
    tags=("castle",),
)


PREFIX = "image-service"


def caller(user_id: str) -> Caller:
    return Caller(user_id, expires_at=0)


def machine(scopes: str = "read write", acting_for: str | None = None) -> Caller:
    granted = frozenset(f"{PREFIX}/{scope}" for scope in scopes.split())
    return Caller("main-api", 0, Kind.MACHINE, granted, PREFIX, acting_for)


def make_image(user_id: str = "alice", **changes: Any) -> Image:
    image_id = new_image_id(NOW)
    renditions = {
        spec.name: Rendition(
            key=spec.key(user_id, image_id),
            width=spec.side,
            height=spec.side,
            size_bytes=spec.side,
        )
        for spec in RENDITIONS
    }
    image = Image(
        id=image_id,
        user_id=user_id,
        album_id=None,
        original_filename="a.jpg",
        original_mime_type="image/jpeg",
        original_width=4000,
        original_height=4000,
        file_size=7,
        checksum="c0ffee",
        renditions=renditions,
        format="webp",
        quality=85,
        placeholder="",
        dominant_color="#000000",
        title=None,
        description=None,
        alt_text=None,
        tags=(),
        uploaded_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(image, **changes)


class FakeProcessor:
    """Takes anything for a picture of 4000x2000 pixels, of which every rendition is made."""

    def __init__(self) -> None:
        self.failure: ImageServiceError | None = None
        self.cpu_seconds = 0.1
        self.refused = b""

    async def inspect(self, data: bytes) -> SourceInfo:
        if self.failure:
            raise self.failure
        if data == self.refused:
            raise InvalidImage
        return SourceInfo("image/jpeg", 4000, 2000)

    async def process(
        self,
        data: bytes,
        source: SourceInfo,
        renditions: Sequence[RenditionSpec],
        spent: Spent = ignore_spent,
    ) -> ProcessedImage:
        spent(self.cpu_seconds)
        return ProcessedImage(
            pictures={
                spec.name: EncodedPicture(
                    spec, spec.name.encode() + b" of " + data, spec.side, spec.side // 2
                )
                for spec in wanted(renditions, source.width, source.height)
            },
            placeholder="hash",
            dominant_color="#aabbcc",
        )
