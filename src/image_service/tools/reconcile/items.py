"""Items as reconcile sees them, those that are not what they should be included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.entries import UnreadableEntry, to_entry
from image_service.adapters.dynamodb.intents import to_intent
from image_service.adapters.dynamodb.items import Item, to_image
from image_service.adapters.dynamodb.rerenders import to_rerender
from image_service.domain.times import parse_timestamp
from image_service.domain.usage import Amount
from image_service.tools.reconcile.findings import (
    ImageRecord,
    TablePage,
    TagPointer,
    UnreadableItem,
    Usage,
)

# What reading attributes raises that are not there, or of another kind.
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
_DEAD_LETTERS: Final = "dead letter"


def to_page(items: Sequence[Item], following: str | None) -> TablePage:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    unreadable = []
    for item in items:
        kind = _DEAD_LETTERS if item["PK"] == keys.DEAD_LETTERS else str(item.get("type"))
        if kind in _READERS:
            try:
                found[kind].append(_READERS[kind](item))
            except (*_MALFORMED, UnreadableEntry):
                unreadable.append(f"{item['PK']} {item['SK']}")
    return TablePage(
        records=found["image"],
        usages=found["usage"],
        pointers=found["tag"],
        intents=found["intent"],
        rerenders=found["rerender"],
        dead_letters=found[_DEAD_LETTERS],
        unreadable=unreadable,
        looked_at=len(items),
        following=following,
    )


def readable_record(item: Item) -> ImageRecord | None:
    try:
        return to_record(item)
    except _MALFORMED:
        return None


def readable_usage(item: Item) -> Usage:
    """Raises UnreadableItem."""
    try:
        return to_usage(item)
    except _MALFORMED as error:
        raise UnreadableItem from error


def readable_amount(images: Sequence[Item]) -> Amount:
    """Of the renditions of image items, as `Image.stored_bytes` counts them.

    Raises UnreadableItem.
    """
    try:
        files = [file for item in images for file in item["renditions"].values()]
        return Amount(len(images), sum(int(file["bytes"]) for file in files))
    except _MALFORMED as error:
        raise UnreadableItem from error


def to_record(item: Item) -> ImageRecord:
    return ImageRecord(to_image(item), _moment(item, "deletedAt"))


def to_usage(item: Item) -> Usage:
    _, _, user_id = item["PK"].partition("#")
    _, _, album_id = item["SK"].partition("USAGE#ALBUM#")
    return Usage(
        user_id=user_id,
        album_id=album_id or None,
        amount=Amount(int(item["imageCount"]), int(item["totalBytes"])),
        updated_at=_moment(item, "updatedAt"),
    )


def to_pointer(item: Item) -> TagPointer:
    _, user_id, tag = item["PK"].split("#", 2)  # a tag may hold more of them
    position = keys.position_of(item["SK"])
    return TagPointer(user_id, tag, position.image_id, position.uploaded_at)


def _moment(item: Item, name: str) -> datetime | None:
    return parse_timestamp(item[name]) if name in item else None


_READERS: Final[dict[str, Callable[[Item], Any]]] = {
    "image": to_record,
    "usage": to_usage,
    "tag": to_pointer,
    "intent": to_intent,
    "rerender": to_rerender,
    "outbox": to_entry,
    _DEAD_LETTERS: to_entry,
}
