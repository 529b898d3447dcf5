"""Changes that a write to an image makes beside the image: counters and tag pointers.

An added image is a change from None, a deleted one a change to None.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item, tag_pointers
from image_service.adapters.dynamodb.transactions import Actions, Condition
from image_service.domain.images import Image
from image_service.domain.times import format_timestamp, utc_now

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_OTHERS_REMAIN: Final = Condition("imageCount > :leaving", {":leaving": 1})
_LAST_ONE: Final = Condition(
    "attribute_not_exists(imageCount) OR imageCount <= :leaving", {":leaving": 1}
)


def usage_attributes() -> Item:
    """Attributes of a counter beside its counts. Repairs go by the time: they leave young ones."""
    return {
        "type": "usage",
        "schemaVersion": SCHEMA_VERSION,
        "updatedAt": format_timestamp(utc_now()),
    }


def usage_actions(
    actions: Actions, before: Image | None, after: Image | None, *, album_empties: bool
) -> list[TransactWriteItemTypeDef]:
    """Counters of the user and of the albums concerned.

    An album's counter goes with its last image. Whether the one that leaves is the last
    can only be guessed beforehand: `album_empties` is the guess, and exactly one of the
    two guesses passes its condition.
    """
    result = []
    for counter, change in _changes(before, after).items():
        key = {"PK": counter.partition, "SK": counter.sort}
        leaves_album = counter.of_album and change.images < 0
        if leaves_album and album_empties:
            result.append(actions.delete(key, only_if=_LAST_ONE))
        elif change.images or change.size:
            result.append(
                actions.update(
                    key,
                    set_to=usage_attributes(),
                    add={"imageCount": change.images, "totalBytes": change.size},
                    only_if=_OTHERS_REMAIN if leaves_album else None,
                )
            )
    return result


@dataclass(frozen=True, slots=True)
class _Counter:
    partition: str
    sort: str
    of_album: bool


@dataclass(slots=True)
class _Change:
    """What is added to a counter; size in bytes."""

    images: int = 0
    size: int = 0


def _changes(before: Image | None, after: Image | None) -> dict[_Counter, _Change]:
    changes: defaultdict[_Counter, _Change] = defaultdict(_Change)
    for image, sign in ((before, -1), (after, 1)):
        if image is not None:
            for counter in _counters(image):
                changes[counter].images += sign
                changes[counter].size += sign * image.stored_bytes
    return changes


def _counters(image: Image) -> Iterator[_Counter]:
    user = keys.user_usage_key(image.user_id)
    yield _Counter(user["PK"], user["SK"], of_album=False)
    if image.album_id is not None:
        album = keys.album_usage_key(image.user_id, image.album_id)
        yield _Counter(album["PK"], album["SK"], of_album=True)


def pointer_actions(
    actions: Actions, before: Image | None, after: Image | None
) -> list[TransactWriteItemTypeDef]:
    """Every pointer holds the album and all tags, so a change of either rewrites them all."""
    old, new = _pointers(before), _pointers(after)
    removed = [pointer for partition, pointer in old.items() if partition not in new]
    written = [pointer for partition, pointer in new.items() if old.get(partition) != pointer]
    return [
        *(actions.delete({"PK": pointer["PK"], "SK": pointer["SK"]}) for pointer in removed),
        *(actions.put(pointer) for pointer in written),
    ]


def _pointers(image: Image | None) -> dict[str, Item]:
    return {pointer["PK"]: pointer for pointer in tag_pointers(image)} if image else {}
