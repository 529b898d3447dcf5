"""Outbox entries as items, and back."""

from __future__ import annotations

from datetime import datetime

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item
from image_service.domain.images import Deletion
from image_service.domain.outbox import CachePurge, Clearing, Lease, OutboxEntry, Step
from image_service.domain.times import parse_timestamp

_PURGE_CACHE = "purge-cache"
_CLEAR = "clear"


def entry_key(entry: OutboxEntry) -> keys.Key:
    return keys.outbox_key(entry.route, entry.due_at, entry.id)


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
        return {"task": _PURGE_CACHE, "userId": work.user_id, "imageId": work.image_id}
    images = [
        {"id": gone.image_id, "userId": gone.user_id, "objectKeys": list(gone.object_keys)}
        for gone in work.deletions
    ]
    return {"task": _CLEAR, "step": work.step.value, "images": images}


def to_entry(item: Item, lease: Lease | None = None) -> OutboxEntry:
    """`lease` is the caller's own."""
    place: str = item["SK"]
    due_at, entry_id = place.split("#")
    return OutboxEntry(
        id=entry_id,
        due_at=parse_timestamp(due_at),
        work=_to_work(item, entry_id, parse_timestamp(due_at)),
        tries=int(item["tries"]),
        lease=lease,
    )


def _to_work(item: Item, entry_id: str, due_at: datetime) -> Clearing | CachePurge:
    if item["task"] == _PURGE_CACHE:
        return CachePurge(item["userId"], item["imageId"])
    deletions = tuple(
        Deletion(
            image_id=image["id"],
            user_id=image["userId"],
            object_keys=tuple(image["objectKeys"]),
            entry_id=entry_id,
            due_at=due_at,
        )
        for image in item["images"]
    )
    return Clearing(Step(item["step"]), deletions)


def milliseconds(lease: Lease) -> int:
    """When it ends, in milliseconds since 1970."""
    return int(lease.until.timestamp() * 1000)
