"""A query for a user's images, a page of its result, and the cursor between pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal

from ulid import ULID

from image_service.domain.cursors import seal, unseal
from image_service.domain.errors import InvalidCursor
from image_service.domain.fields import tag_key
from image_service.domain.images import Image
from image_service.domain.times import format_timestamp

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
LOOK_BOUND: Final = 1_000  # entries looked at for one page, at about 200 bytes each

SortOrder = Literal["asc", "desc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=1024)  # a page looks at up to 1,000 entries with the same few tags
def _tag_keys(tags: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(tag_key, tags))


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list: just after this image, whether or not it still exists."""

    uploaded_at: datetime
    image_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """`uploaded_after` is inclusive, `uploaded_before` exclusive, both whole milliseconds."""

    limit: int = DEFAULT_LIMIT
    album_id: str | None = None
    tags: tuple[str, ...] = ()
    uploaded_after: datetime | None = None
    uploaded_before: datetime | None = None
    order: SortOrder = "desc"
    start: Position | None = None

    @property
    def countable(self) -> bool:
        """Returns whether a stored counter knows the total: the user's, or one album's."""
        return not (self.tags or self.uploaded_after or self.uploaded_before)

    def matches(self, image: Image) -> bool:
        """Returns whether the image passes the filters; its place in the list is not looked at."""
        return (
            self.matches_album_and_tags(image.album_id, image.tags)
            and (self.uploaded_after is None or image.uploaded_at >= self.uploaded_after)
            and (self.uploaded_before is None or image.uploaded_at < self.uploaded_before)
        )

    def matches_album_and_tags(self, album_id: str | None, tags: tuple[str, ...]) -> bool:
        if self.album_id is not None and album_id != self.album_id:
            return False
        return _tag_keys(self.tags) <= _tag_keys(tags)


@dataclass(frozen=True, slots=True)
class Page:
    """Images in the query's order; `next_position` is None on the last page."""

    images: tuple[Image, ...]
    next_position: Position | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page and, where a counter knows it, the total."""

    page: Page
    total: int | None


def encode_cursor(position: Position, user_id: str, query: ListQuery) -> str:
    """40 URL-safe characters, good for the same user and filters only."""
    return seal(_pack(position), _list_of(user_id, query))


def decode_cursor(cursor: str, user_id: str, query: ListQuery) -> Position:
    """The inverse of `encode_cursor`. Raises InvalidCursor."""
    position = _unpack(unseal(cursor, _list_of(user_id, query)))
    if not _within(position, query):
        raise InvalidCursor
    return position


def _pack(position: Position) -> bytes:
    """6 bytes of milliseconds, 16 of ULID."""
    milliseconds = (position.uploaded_at - _EPOCH) // _MILLISECOND
    return milliseconds.to_bytes(6, "big") + ULID.from_str(position.image_id).bytes


def _unpack(place: bytes) -> Position:
    try:
        uploaded_at = _EPOCH + int.from_bytes(place[:6], "big") * _MILLISECOND
        return Position(uploaded_at, str(ULID.from_bytes(place[6:])))
    except (OverflowError, ValueError):
        raise InvalidCursor from None


def _list_of(user_id: str, query: ListQuery) -> list[Any]:
    return [
        user_id,
        query.album_id,
        sorted(_tag_keys(query.tags)),
        query.uploaded_after and format_timestamp(query.uploaded_after),
        query.uploaded_before and format_timestamp(query.uploaded_before),
        query.order,
    ]


def _within(position: Position, query: ListQuery) -> bool:
    """A start key outside the queried range is an error to DynamoDB, not an empty page."""
    after, before = query.uploaded_after, query.uploaded_before
    return (after is None or position.uploaded_at >= after) and (
        before is None or position.uploaded_at < before
    )
