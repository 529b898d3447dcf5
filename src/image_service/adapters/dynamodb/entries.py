"""Outbox entries as items, and back."""

from __future__ import annotations

from typing import Any

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item
from image_service.domain.images import Deletion
from image_service.domain.outbox import CachePurge, Clearing, Lease, OutboxEntry, Step
from image_service.domain.times import parse_timestamp

_PURGE_CACHE = "purge-cache"
_CLEAR = "clear"
# Also of images that live on, whose records older releases would drop: they leave it alone.
_INVALIDATE = "invalidate"


class UnreadableEntry(Exception):
    """An entry of a newer release, or a broken one: the work it asks for is not known here."""


def entry_key(entry: OutboxEntry) -> keys.Key:
    return keys.outbox_key(entry.queue, entry.route, entry.due_at, entry.id)


def entry_item(entry: OutboxEntry) -> Item:
    item: Item = {
        **entry_key(entry),
        "type": "outbox",
        "schemaVersion": SCHEMA_VERSION,
        "tries": entry.tries,
        **_work(entry.work),
    }
    if entry.lease is not None:
        item["leaseOwner"] = entry.lease.owner
        item["leaseUntil"] = milliseconds(entry.lease)
    return item


def _work(work: Clearing | CachePurge) -> Item:
    if isinstance(work, CachePurge):
        return {"task": _PURGE_CACHE, "userId": work.user_id, "imageIds": set(work.image_ids)}
    images = [
        {
            "id": deletion.image_id,
            "userId": deletion.user_id,
            "objectKeys": list(deletion.object_keys),
            **({"lives": True} if deletion.image_lives else {}),
            **({"revised": True} if deletion.revised else {}),
        }
        for deletion in work.deletions
    ]
    task = _INVALIDATE if any(deletion.image_lives for deletion in work.deletions) else _CLEAR
    return {"task": task, "step": work.step.value, "images": images}


def to_entry(item: Item) -> OutboxEntry:
    """Without its lease. Raises UnreadableEntry, also where it lies in another's place."""
    try:
        due_at, entry_id = item["SK"].split("#")
        entry = OutboxEntry(
            id=entry_id,
            due_at=parse_timestamp(due_at),
            work=_to_work(item),
            tries=int(item["tries"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableEntry from error
    key = entry_key(entry)
    if item["PK"] not in {key["PK"], keys.DEAD_LETTERS} or item["SK"] != key["SK"]:
        raise UnreadableEntry("it would not be found again")
    return entry


def _to_work(item: Item) -> Clearing | CachePurge:
    if item["schemaVersion"] > SCHEMA_VERSION:
        raise ValueError(item["schemaVersion"])
    if item["task"] == _PURGE_CACHE:
        return CachePurge(item["userId"], frozenset(item["imageIds"]))
    if item["task"] not in {_CLEAR, _INVALIDATE} or not item["images"]:
        raise ValueError(item["task"])
    return Clearing(Step(item["step"]), tuple(map(_to_deletion, item["images"])))


def _to_deletion(image: dict[str, Any]) -> Deletion:
    return Deletion(
        image_id=image["id"],
        user_id=image["userId"],
        object_keys=tuple(image["objectKeys"]),
        image_lives=image.get("lives", False),
        revised=image.get("revised", False),
    )


def milliseconds(lease: Lease) -> int:
    """Returns when it ends, in milliseconds since 1970."""
    return int(lease.until.timestamp() * 1000)
