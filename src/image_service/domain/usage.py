"""A user's usage, and the cursor between pages of albums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from image_service.domain.cursors import seal, unseal
from image_service.domain.errors import InvalidCursor
from image_service.domain.fields import FieldError, clean_album_id


@dataclass(frozen=True, slots=True)
class Amount:
    """Images, and the bytes of their stored files, thumbnails included."""

    images: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AlbumAmount:
    album_id: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class AlbumQuery:
    """A page of a user's albums, by id; `after` is the last one of the page before."""

    limit: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class AlbumPage:
    """In the order of their ids; `more` is whether another album follows."""

    albums: Sequence[AlbumAmount]
    more: bool


def encode_album_cursor(album_id: str, user_id: str) -> str:
    return seal(album_id.encode(), [user_id, "albums"])


def decode_album_cursor(cursor: str, user_id: str) -> str:
    """The inverse of `encode_album_cursor`. Raises InvalidCursor."""
    try:
        album_id = clean_album_id(unseal(cursor, [user_id, "albums"]).decode())
    except (FieldError, UnicodeDecodeError):
        raise InvalidCursor from None
    if album_id is None:
        raise InvalidCursor
    return album_id
