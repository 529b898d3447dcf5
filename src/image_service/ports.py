"""What the services ask of the outside world, in the words of the domain.

Every adapter keeps these contracts, the fakes of the tests included: one contract suite
a port runs over both. Failures of the outside world arrive as `DependencyUnavailable`,
or, after a write that may have happened, as its subclass `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from image_service.domain.images import Deletion, Image
from image_service.domain.listing import ListQuery, Page


class ImageRepository(Protocol):
    """Images by id, with everything that must change in the same breath.

    Counters, album and tag indexes are part of each write: all of it happens, or none.
    """

    async def get(self, image_id: str) -> Image | None:
        """The image as last committed (strongly consistent); None if absent or deleted."""
        ...

    async def add(self, image: Image) -> None:
        """Commit a new image. Its id must be unused, else DependencyUnavailable is raised."""
        ...

    async def update(self, before: Image, after: Image) -> None:
        """Replace `before` with `after`, the next version of it.

        Raises ImageNotFound if it is gone, VersionMismatch if it is no longer `before`.
        """
        ...

    async def mark_deleted(self, image: Image, at: datetime) -> Deletion:
        """From now on the image is gone for `get` and all lists; durable on return.

        Raises ImageNotFound if it is gone already, VersionMismatch if it is no longer
        `image`.
        """
        ...

    async def forget(self, deletion: Deletion) -> None:
        """Drop what `mark_deleted` left, once the objects are gone. Safe to repeat."""
        ...


class ImageLists(Protocol):
    """A user's images in the order of their upload. Costs what the page costs."""

    async def page(self, user_id: str, query: ListQuery) -> Page:
        """Full unless it is the last; `next_position` is None exactly on the last.

        The exception: after 1,000 entries looked at for a filter, what was found by then
        is returned with a position to go on from.
        """
        ...

    async def count(self, user_id: str, album_id: str | None) -> int:
        """How many images the user, or the album of that user, has."""
        ...


class ObjectStore(Protocol):
    """Picture files by key. Keys are never written twice."""

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data`; durable on return."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete all of `keys` (at most 1,000); absent ones are no error."""
        ...


class Cdn(Protocol):
    """The cache that browsers load pictures from."""

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        """Have the edges drop `paths` (as of `CdnUrls.path`); one `reference`, one purge."""
        ...


MimeType = Literal["image/jpeg", "image/png", "image/webp"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What an image's header says. Width and height in pixels, after orientation."""

    mime_type: MimeType
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A finished file, without metadata. Width and height in pixels."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedImage:
    """All that is kept of an upload; `placeholder` is a ThumbHash in base64."""

    main: EncodedPicture
    thumbnail: EncodedPicture
    format: str
    quality: int
    placeholder: str
    dominant_color: str


class ImageProcessor(Protocol):
    """Pictures in, WebP out. Never runs a decoder for anything but JPEG, PNG and WebP."""

    async def inspect(self, data: bytes) -> SourceInfo:
        """Read the header only; no pixel is decoded.

        Raises InvalidFileType, InvalidImage, AnimatedImage, InvalidDimensions.
        """
        ...

    async def process(self, data: bytes, source: SourceInfo) -> ProcessedImage:
        """Decode once, make main picture and thumbnail. `source` is `inspect`'s answer.

        Raises InvalidImage for truncated or corrupt data, ProcessingFailed otherwise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as the token says. `expires_at` in seconds since 1970."""

    user_id: str
    expires_at: int


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """Raises TokenInvalid, TokenExpired, or AuthUnavailable where no key can be had."""
        ...


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit and what is left of it; `reset_at` in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    description: str


class RateLimiter(Protocol):
    async def hit(self, user_id: str, *, upload: bool) -> RateLimit:
        """Count a request; the tightest of the limits it falls under. Never raises."""
        ...


class HealthProbe(Protocol):
    """One outside system as `GET /health` names it."""

    name: str

    async def ping(self) -> None:
        """Return if it answers; raise anything if it does not."""
        ...
