"""Values in Redis: JSON of the domain's own types, with a schema version.

What doesn't parse, is of another version, or isn't what was asked for, is no value: Redis
is shared, survives deployments, and may hold anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from image_service.domain.images import Image
from image_service.domain.listing import Listing

# To be raised when a field changes its meaning. One that is added needs nothing: entries
# without it no longer parse.
_Schema = Literal[1]


@dataclass(frozen=True, slots=True)
class _ImageEntry:
    schema: _Schema
    image: Image


@dataclass(frozen=True, slots=True)
class _ListingEntry:
    schema: _Schema
    user_id: str
    query: str
    listing: Listing


_IMAGE = TypeAdapter(_ImageEntry)
_LISTING = TypeAdapter(_ListingEntry)


def encode_image(image: Image) -> bytes:
    return _IMAGE.dump_json(_ImageEntry(1, image))


def decode_image(value: bytes, image_id: str) -> Image | None:
    try:
        image = _IMAGE.validate_json(value, strict=True).image
        return image if image.id == image_id and _is_usable(image) else None
    except (ValueError, LookupError, ArithmeticError):
        return None


def encode_listing(listing: Listing, user_id: str, query_hash: str) -> bytes:
    return _LISTING.dump_json(_ListingEntry(1, user_id, query_hash, listing))


def decode_listing(value: bytes, user_id: str, query_hash: str) -> Listing | None:
    """None, too, where a single image of it is another user's."""
    try:
        entry = _LISTING.validate_json(value, strict=True)
        images = entry.listing.page.images
        asked = (entry.user_id, entry.query) == (user_id, query_hash)
        usable = all(image.user_id == user_id and _is_usable(image) for image in images)
    except (ValueError, LookupError, ArithmeticError):
        return None
    return entry.listing if asked and usable else None


def _is_usable(image: Image) -> bool:
    """Returns whether all that is computed from it can be; raises where it can't."""
    return image.aspect_ratio > 0 and bool(image.thumbnail.key)
