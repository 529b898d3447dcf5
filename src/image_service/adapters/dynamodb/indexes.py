"""What a write to an image changes beside the image: counters and tag pointers.

An added image is a change from None, a deleted one a change to None.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.actions import Actions, Condition
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item, tag_pointers
from image_service.domain.images import Image

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_USAGE: Final = {"type": "usage", "schemaVersion": SCHEMA_VERSION}
_OTHERS_REMAIN: Final = Condition("imageCount > :leaving", {":leaving": 1})
_LAST_ONE: Final = Condition(
    "attribute_not_exists(imageCount) OR imageCount <= :leaving", {":leaving": 1}
)


def usage_actions(
    actions: Actions, before: Image | None, after: Image | None, *, album_empties: bool
) -> list[TransactWriteItemTypeDef]:
    """Counters of the user and of the albums concerned.

    An album's counter goes with its last image. Whether the one that leaves is the last
    can only be guessed beforehand: `album_empties` is the guess, and exactly one of the
    two guesses passes its condition.
    """
    result = []
    for (partition, sort), (images, size) in _usage_changes(before, after).items():
        key = {"PK": partition, "SK": sort}
        leaves_album = images < 0 and key["SK"] != keys.user_usage_key("")["SK"]
        if leaves_album and album_empties:
            result.append(actions.delete(key, only_if=_LAST_ONE))
        elif images or size:
            result.append(
                actions.update(
                    key,
                    set_to=_USAGE,
                    add={"imageCount": images, "totalBytes": size},
                    only_if=_OTHERS_REMAIN if leaves_album else None,
                )
            )
    return result


def _usage_changes(
    before: Image | None, after: Image | None
) -> dict[tuple[str, str], tuple[int, int]]:
    """Images and bytes to add, by counter."""
    images: defaultdict[tuple[str, str], int] = defaultdict(int)
    size: defaultdict[tuple[str, str], int] = defaultdict(int)
    for image, sign in ((before, -1), (after, 1)):
        for key in _counters(image) if image else ():
            images[key["PK"], key["SK"]] += sign
            size[key["PK"], key["SK"]] += sign * (image.stored_bytes if image else 0)
    return {key: (images[key], size[key]) for key in images}


def _counters(image: Image) -> list[keys.Key]:
    counters = [keys.user_usage_key(image.user_id)]
    if image.album_id is not None:
        counters.append(keys.album_usage_key(image.user_id, image.album_id))
    return counters


def pointer_actions(
    actions: Actions, before: Image | None, after: Image | None
) -> list[TransactWriteItemTypeDef]:
    """Every pointer holds the album and all tags, so a change of either rewrites them all."""
    old, new = _pointers(before), _pointers(after)
    gone = [pointer for partition, pointer in old.items() if partition not in new]
    written = [pointer for partition, pointer in new.items() if old.get(partition) != pointer]
    return [
        *(actions.delete({"PK": pointer["PK"], "SK": pointer["SK"]}) for pointer in gone),
        *(actions.put(pointer) for pointer in written),
    ]


def _pointers(image: Image | None) -> dict[str, Item]:
    return {pointer["PK"]: pointer for pointer in tag_pointers(image)} if image else {}
