"""An image and its ids: all that is known of it, its edits and its deletion."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Self, TypedDict
from urllib.parse import quote

from ulid import ULID

from image_service.domain.errors import PreconditionMismatch, VersionMismatch, VersionRequired
from image_service.domain.renditions import MAIN, THUMBNAIL, Rendition, is_by_width

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_USER_ID = re.compile(r"[A-Za-z0-9_.:@|-]{1,128}")
USER_ID_RULE = "1 to 128 letters, digits, '_', '.', ':', '@', '|' or '-', and not '.' or '..'"
_IMAGE_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ENTITY_TAG = re.compile(r"(?P<version>[0-9]+)(?:\.[0-9]+)?", re.ASCII)


def new_image_id(at: datetime) -> str:
    """A ULID: 48 bits of milliseconds since 1970, then 80 purely random bits.

    `ULID()` of python-ulid counts up within a millisecond, which would let anyone who
    uploads guess a neighbour's id; so the random part is drawn here.
    """
    milliseconds = (at - _EPOCH) // _MILLISECOND
    return str(ULID(milliseconds.to_bytes(6, "big") + os.urandom(10)))


def is_user_id(text: str) -> bool:
    """Returns whether `text` can be a user's id: it becomes part of keys of objects and items."""
    return _USER_ID.fullmatch(text) is not None and text not in {".", ".."}


def is_image_id(text: str) -> bool:
    return _IMAGE_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CdnUrls:
    """Object keys as the CDN knows them. `base_url` has no trailing slash."""

    base_url: str

    def url(self, key: str) -> str:
        return self.base_url + self.path(key)

    @staticmethod
    def path(key: str) -> str:
        """Percent-encoded, with a leading slash; also the form of an invalidation path."""
        return "/" + quote(key, safe="/")


class ImageChanges(TypedDict, total=False):
    """The fields that an edit sets; an absent key leaves the field as it is."""

    title: str | None
    description: str | None
    alt_text: str | None
    album_id: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One user's picture and all that is known of it.

    `version` counts edits from 1, `revision` how often its renditions were made again.
    """

    id: str
    user_id: str
    album_id: str | None
    original_filename: str | None
    original_mime_type: str
    original_width: int
    original_height: int
    file_size: int
    checksum: str
    renditions: Mapping[str, Rendition]
    format: str
    quality: int
    placeholder: str
    dominant_color: str
    title: str | None
    description: str | None
    alt_text: str | None
    tags: tuple[str, ...]
    uploaded_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1
    revision: int = 0

    @property
    def entity_tag(self) -> str:
        """Changes with everything that is said of the image: with edits and with renditions."""
        return f"{self.version}.{self.revision}" if self.revision else str(self.version)

    @property
    def main(self) -> Rendition:
        return self.renditions[MAIN]

    @property
    def thumbnail(self) -> Rendition:
        return self.renditions[THUMBNAIL]

    @property
    def by_width(self) -> list[tuple[str, Rendition]]:
        """Returns files of the whole picture by name, ascending by width; the main one is last.

        What a newer release has made besides may be crops, or of other types.
        """
        others = (item for item in self.renditions.items() if is_by_width(item[0]))
        return [*sorted(others, key=lambda item: item[1].width), (MAIN, self.main)]

    @property
    def mime_type(self) -> str:
        return f"image/{self.format}"

    @property
    def aspect_ratio(self) -> float:
        return round(self.main.width / self.main.height, 3)

    @property
    def stored_bytes(self) -> int:
        """Returns what the image takes in the bucket: the sum over its renditions."""
        return sum(rendition.size_bytes for rendition in self.renditions.values())

    @property
    def object_keys(self) -> tuple[str, ...]:
        return tuple(rendition.key for rendition in self.renditions.values())

    def edited(self, changes: ImageChanges, at: datetime) -> Image:
        return replace(self, **changes, updated_at=at, version=self.version + 1)

    def rendered(self, renditions: Mapping[str, Rendition]) -> Image:
        """Returns the image with other renditions: no edit, so that no editor is refused for it."""
        return replace(self, renditions=renditions, revision=self.revision + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """An image that readers find deleted, and the files that remain to be removed.

    Where `image_lives`, they are files that it does not name any more, and are removed already.
    `revised`: some of them may be much younger than the image.
    """

    image_id: str
    user_id: str
    object_keys: tuple[str, ...]
    image_lives: bool = False
    revised: bool = False

    @classmethod
    def of(cls, image: Image) -> Self:
        return cls(
            image_id=image.id,
            user_id=image.user_id,
            object_keys=image.object_keys,
            revised=image.revision > 0,
        )


@dataclass(frozen=True, slots=True)
class ExpectedVersion:
    """The versions a caller says it is changing; None where it did not say.

    `if_match` holds the entity tags of the header without their quotes, or is `"*"`: any. Of
    a tag the version counts alone: other renditions are no reason to refuse an edit.
    """

    body: int | None = None
    if_match: frozenset[str] | Literal["*"] | None = None

    def require(self) -> None:
        """Raise VersionRequired where neither was given."""
        if self.body is None and self.if_match is None:
            raise VersionRequired

    def contended(self, current: int) -> VersionMismatch:
        """Returns the error for a caller whose write kept losing to others."""
        kind = VersionMismatch if self.if_match is None else PreconditionMismatch
        return kind(current, contended=True)

    def check(self, current: int) -> None:
        """Raise PreconditionMismatch or VersionMismatch where a given version is stale."""
        if self.if_match not in {None, "*"} and str(current) not in self._versions():
            raise PreconditionMismatch(current)
        if self.body is not None and self.body != current:
            raise VersionMismatch(current)

    def _versions(self) -> set[str]:
        found = map(_ENTITY_TAG.fullmatch, self.if_match or ())
        return {tag["version"] for tag in found if tag}
