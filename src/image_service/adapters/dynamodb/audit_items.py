"""Items as an audit sees them."""

from __future__ import annotations

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item, to_image
from image_service.domain.audit import ImageRecord, TagPointer, Usage
from image_service.domain.times import parse_timestamp


def is_kind(item: Item, kind: str) -> bool:
    return bool(item.get("type") == kind)


def to_record(item: Item) -> ImageRecord:
    deleted_at = item.get("deletedAt")
    return ImageRecord(to_image(item), deleted_at and parse_timestamp(deleted_at))


def to_usage(item: Item) -> Usage:
    _, _, user_id = item["PK"].partition("#")
    _, _, album_id = item["SK"].partition("USAGE#ALBUM#")
    return Usage(
        user_id=user_id,
        album_id=album_id or None,
        images=int(item["imageCount"]),
        size_bytes=int(item["totalBytes"]),
    )


def to_pointer(item: Item) -> TagPointer:
    _, user_id, tag = item["PK"].split("#", 2)  # a tag may hold more of them
    position = keys.position_of(item["SK"])
    return TagPointer(user_id, tag, position.image_id, position.uploaded_at)


def counted_bytes(item: Item) -> int:
    """Of an image item's renditions, as `Image.stored_bytes` counts them."""
    return sum(int(file["bytes"]) for file in item["renditions"].values())
