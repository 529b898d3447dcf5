"""Pictures on their way through the processor: what a header says, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from image_service.domain.renditions import MAIN, Rendition, RenditionSpec

MimeType = Literal["image/jpeg", "image/png", "image/webp"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The contents of an image's header. Width and height in pixels, after `orientation` (EXIF's).

    `decode_bytes` is what processing it will take of memory at its peak, estimated from
    above; about a second of one CPU for each 200 MB.
    """

    mime_type: MimeType
    width: int
    height: int
    decode_bytes: int = field(default=0, compare=False)
    orientation: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A finished file, made as `spec` says, without metadata. Width and height in pixels."""

    spec: RenditionSpec
    data: bytes
    width: int
    height: int

    def stored(self, user_id: str, image_id: str) -> Rendition:
        """Returns this file as one of an image."""
        return Rendition(
            key=self.spec.key(user_id, image_id),
            width=self.width,
            height=self.height,
            size_bytes=len(self.data),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedImage:
    """All that is kept of an upload, by rendition; `placeholder` is a ThumbHash in base64."""

    pictures: Mapping[str, EncodedPicture]
    placeholder: str
    dominant_color: str

    @property
    def main(self) -> EncodedPicture:
        return self.pictures[MAIN]
