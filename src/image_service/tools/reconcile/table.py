"""The table from end to end, for repairs. Nothing that serves a request reads like this.

Every repair is conditional on what was read, so that it can't undo what happened since.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.entries import entry_item
from image_service.adapters.dynamodb.indexes import pointer_actions, usage_attributes
from image_service.adapters.dynamodb.items import Item, from_wire, tag_pointers, to_wire
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX
from image_service.adapters.dynamodb.table import MAX_BATCH, Query, Table
from image_service.adapters.dynamodb.transactions import Condition, ConditionFailed
from image_service.domain.images import Deletion, Image
from image_service.domain.listing import Position
from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.times import format_timestamp
from image_service.domain.usage import Amount
from image_service.tools.reconcile.findings import ImageRecord, TablePage, TagPointer, Usage
from image_service.tools.reconcile.items import (
    readable_amount,
    readable_record,
    readable_usage,
    to_page,
)

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_PAGE: Final = 200
_STILL: Final = "attribute_not_exists(deletedAt) AND version = :seen"
_NOT_REQUEUED: Final = (
    "attribute_exists(deletedAt) AND (attribute_not_exists(requeuedAt) OR requeuedAt < :lately)"
)
_REQUEUE_AFTER: Final = timedelta(days=1)  # an entry is done or a dead letter after 16 hours


class DynamoTableInventory:
    """All items there are, and their repair; nothing that serves a request may read like this.

    Reads are strongly consistent where nothing else is said. Repairs change only what is still as
    it was read, and say whether it was.
    """

    def __init__(self, client: DynamoDBClient, table_name: str, *, page_items: int = _PAGE) -> None:
        self._client = client
        self._page_items = page_items
        self._table = Table(client, table_name)
        self._actions = self._table.actions

    async def size(self) -> int:
        """About how many items there are."""
        with translated("dynamodb:DescribeTable"):
            response = await self._client.describe_table(TableName=self._table.name)
        return response["Table"].get("ItemCount", 0)

    async def page(self, position: str | None) -> TablePage:
        request: dict[str, Any] = {"TableName": self._table.name, "Limit": self._page_items}
        if position is not None:
            request["ExclusiveStartKey"] = to_wire(json.loads(position))
        with translated("dynamodb:Scan"):
            response = await self._client.scan(ConsistentRead=True, **request)
        last = response.get("LastEvaluatedKey")
        return to_page(
            [from_wire(item) for item in response["Items"]],
            json.dumps(from_wire(last)) if last else None,
        )

    async def records(self, image_ids: Sequence[str]) -> Mapping[str, ImageRecord | None]:
        """By id, those on their way out included; None where it is there but unreadable."""
        found: dict[str, ImageRecord | None] = {}
        unique = list(dict.fromkeys(image_ids))
        for start in range(0, len(unique), MAX_BATCH):
            some = unique[start : start + MAX_BATCH]
            items = await self._table.batch_get([keys.image_key(image_id) for image_id in some])
            found |= {keys.image_id_of(item["PK"]): readable_record(item) for item in items}
        return found

    async def requeue(self, image: Image, at: datetime) -> bool:
        """Have the worker clear away an image that is being deleted; at most once a day."""
        entry = OutboxEntry.new(Clearing(Step.OBJECTS, (Deletion.of(image),)), at)
        # The entry moves as it is worked on, so its key can't show whether there is one.
        mark = self._actions.update(
            keys.image_key(image.id),
            set_to={"requeuedAt": format_timestamp(at)},
            only_if=Condition(_NOT_REQUEUED, {":lately": format_timestamp(at - _REQUEUE_AFTER)}),
        )
        return await self._done([mark, self._actions.put(entry_item(entry))])

    async def usage(self, user_id: str, album_id: str | None) -> Usage | None:
        """Raises UnreadableItem."""
        item = await self._table.get(_usage_key(user_id, album_id))
        return readable_usage(item) if item else None

    async def counted(self, user_id: str, album_id: str | None) -> AsyncIterator[Amount]:
        """Yields what each of their images adds; may lag a moment behind.

        Raises UnreadableItem.
        """
        index, partition = USER_INDEX, keys.user_partition(user_id)
        if album_id is not None:
            index, partition = ALBUM_INDEX, keys.album_partition(user_id, album_id)
        query = Query(
            where=Condition(f"{index.partition_key} = :partition", {":partition": partition}),
            index=index.name,
            page=self._page_items,
            attributes="renditions",
        )
        async for item in self._table.query(query):
            yield readable_amount([item])

    async def correct_usage(
        self, user_id: str, album_id: str | None, seen: Usage | None, right: Amount
    ) -> bool:
        key = _usage_key(user_id, album_id)
        if album_id is not None and not right.images:
            return await self._done([self._actions.delete(key, only_if=_as_seen(seen))])
        counts = {"imageCount": right.images, "totalBytes": right.size_bytes}
        write = self._actions.update(
            key, set_to={**usage_attributes(), **counts}, only_if=_as_seen(seen)
        )
        return await self._done([write])

    async def wrong_pointers(self, image: Image) -> tuple[int, int]:
        """Returns how many of the image's tag pointers are missing, and how many are stale."""
        wanted = tag_pointers(image)
        found = await asyncio.gather(
            *(self._table.get({"PK": pointer["PK"], "SK": pointer["SK"]}) for pointer in wanted)
        )
        pairs = list(zip(wanted, found, strict=True))
        stale = sum(bool(there) and not _agree(pointer, there) for pointer, there in pairs)
        return found.count({}), stale

    async def rewrite_pointers(self, image: Image) -> bool:
        still = Condition(_STILL, {":seen": image.version})
        check = self._actions.check(keys.image_key(image.id), only_if=still)
        return await self._done([check, *pointer_actions(self._actions, None, image)])

    async def has_pointer(self, pointer: TagPointer) -> bool:
        return bool(await self._table.get(_pointer_key(pointer)))

    async def remove_pointer(self, pointer: TagPointer, seen: ImageRecord | None) -> bool:
        deleted = "attribute_not_exists(PK) OR attribute_exists(deletedAt)"
        as_seen = Condition(deleted)
        if seen is not None and seen.deleted_at is None:
            as_seen = Condition(f"{deleted} OR version = :seen", {":seen": seen.image.version})
        return await self._done(
            [
                self._actions.check(keys.image_key(pointer.image_id), only_if=as_seen),
                self._actions.delete(_pointer_key(pointer)),
            ]
        )

    async def _done(self, writes: Sequence[TransactWriteItemTypeDef]) -> bool:
        try:
            await self._table.transact(writes)
        except ConditionFailed:
            return False
        return True


def _agree(pointer: Item, there: Item) -> bool:
    return all(pointer.get(name) == there.get(name) for name in ("id", "tags", "albumId"))


def _as_seen(usage: Usage | None) -> Condition:
    if usage is None:
        return Condition("attribute_not_exists(PK)")
    counts = {":images": usage.amount.images, ":size": usage.amount.size_bytes}
    same = "imageCount = :images AND totalBytes = :size"
    if usage.updated_at is None:
        return Condition(f"{same} AND attribute_not_exists(updatedAt)", counts)
    seen_at = {":at": format_timestamp(usage.updated_at)}
    return Condition(f"{same} AND updatedAt = :at", counts | seen_at)


def _pointer_key(pointer: TagPointer) -> keys.Key:
    place = keys.uploaded(Position(pointer.uploaded_at, pointer.image_id))
    return {"PK": keys.tag_key_partition(pointer.user_id, pointer.key), "SK": place}


def _usage_key(user_id: str, album_id: str | None) -> keys.Key:
    if album_id is None:
        return keys.user_usage_key(user_id)
    return keys.album_usage_key(user_id, album_id)
