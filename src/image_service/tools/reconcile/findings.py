"""Findings of a reconciliation, and the scopes it can look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from image_service.domain.fields import tag_key
from image_service.domain.images import Image
from image_service.domain.outbox import OutboxEntry
from image_service.domain.rerenders import Rerender
from image_service.domain.uploads import UploadIntent
from image_service.domain.usage import Amount


class FindingKind(StrEnum):
    OLD_INTENT = "old intent"  # an upload or a rerender that ended without saying so
    ORPHANED_FILE = "file without an image"
    MISSING_FILE = "image without a file"
    OTHER_SIZE = "file of another size"
    STUCK_DELETION = "stuck deletion"
    SET_ASIDE = "dead letter of the outbox"
    WRONG_COUNTER = "wrong counter"
    MISSING_POINTER = "missing tag pointer"
    STALE_POINTER = "stale tag pointer"
    ORPHANED_POINTER = "tag pointer without an image"
    UNREADABLE_ITEM = "unreadable item"


class UnreadableItem(Exception):
    """An item is there, but lacks what its kind has, or has something else in its place."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One error; `fixed` once it has been repaired or handed to the outbox."""

    kind: FindingKind
    subject: str
    detail: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class StoredFile:
    key: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class FilePage:
    """`following` is where to go on; None on the last page."""

    files: Sequence[StoredFile]
    following: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """A counter as stored. `album_id` None: over all of the user's.

    `updated_at` is when it last changed; None in counters of before there was such a time.
    """

    user_id: str
    album_id: str | None
    amount: Amount
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as stored; `deleted_at` where it is on its way out."""

    image: Image
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class TagPointer:
    """An entry of a tag's list. `key` is what tags are compared by."""

    user_id: str
    key: str
    image_id: str
    uploaded_at: datetime

    def points_at(self, record: ImageRecord | None) -> bool:
        """Returns whether the image is live and has the tag."""
        if record is None or record.deleted_at is not None:
            return False
        image = record.image
        return (
            image.user_id == self.user_id
            and image.uploaded_at == self.uploaded_at
            and self.key in {tag_key(tag) for tag in image.tags}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePage:
    """Some of all items, in no order.

    `dead_letters` are dead letters of the outbox; `unreadable` are the keys of what lacks
    something. `looked_at` counts items of other kinds too.
    """

    records: Sequence[ImageRecord]
    usages: Sequence[Usage]
    pointers: Sequence[TagPointer]
    intents: Sequence[UploadIntent]
    rerenders: Sequence[Rerender]
    dead_letters: Sequence[OutboxEntry]
    unreadable: Sequence[str]
    looked_at: int
    following: str | None
