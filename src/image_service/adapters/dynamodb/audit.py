"""The table from end to end, for repairs. Nothing that serves a request reads like this.

Every repair is conditional on what was read, so that it can't undo what happened since.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from image_service.adapters.aws_errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.actions import Actions, Condition
from image_service.adapters.dynamodb.audit_items import (
    counted_bytes,
    is_kind,
    to_pointer,
    to_record,
    to_usage,
)
from image_service.adapters.dynamodb.batches import MAX_BATCH, BatchReader
from image_service.adapters.dynamodb.entries import entry_item
from image_service.adapters.dynamodb.indexes import USAGE, pointer_actions
from image_service.adapters.dynamodb.items import Item, from_wire, tag_pointers, to_wire
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX
from image_service.adapters.dynamodb.transactions import ConditionFailed, Transactions
from image_service.domain.audit import ImageRecord, TablePage, TagPointer, Usage
from image_service.domain.images import Deletion, Image
from image_service.domain.listing import Position
from image_service.domain.outbox import Clearing, OutboxEntry, Step

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_PAGE: Final = 200
_STILL: Final = "attribute_not_exists(deletedAt) AND version = :seen"
_BEING_DELETED: Final = Condition("attribute_exists(deletedAt)")


class DynamoTableAudit:
    """A `TableAudit`."""

    def __init__(self, client: DynamoDBClient, table_name: str, *, page_items: int = _PAGE) -> None:
        self._client = client
        self._table_name = table_name
        self._page_items = page_items
        self._actions = Actions(table_name)
        self._transactions = Transactions(client)
        self._batches = BatchReader(client, table_name)

    async def size(self) -> int:
        with translated("dynamodb:DescribeTable"):
            answer = await self._client.describe_table(TableName=self._table_name)
        return answer["Table"].get("ItemCount", 0)

    async def page(self, position: str | None) -> TablePage:
        request: dict[str, Any] = {"TableName": self._table_name, "Limit": self._page_items}
        if position is not None:
            request["ExclusiveStartKey"] = to_wire(json.loads(position))
        with translated("dynamodb:Scan"):
            answer = await self._client.scan(ConsistentRead=True, **request)
        items = [from_wire(item) for item in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return TablePage(
            records=[to_record(item) for item in items if is_kind(item, "image")],
            usages=[to_usage(item) for item in items if is_kind(item, "usage")],
            pointers=[to_pointer(item) for item in items if is_kind(item, "tag")],
            looked_at=len(items),
            following=json.dumps(from_wire(last)) if last else None,
        )

    async def records(self, image_ids: Sequence[str]) -> Mapping[str, ImageRecord]:
        found: dict[str, ImageRecord] = {}
        unique = list(dict.fromkeys(image_ids))
        for start in range(0, len(unique), MAX_BATCH):
            items = await self._batches.read(unique[start : start + MAX_BATCH])
            found |= {image_id: to_record(item) for image_id, item in items.items()}
        return found

    async def requeue(self, image: Image, at: datetime) -> bool:
        deletion = Deletion(
            image_id=image.id,
            user_id=image.user_id,
            object_keys=image.object_keys,
            entry_id="",
            due_at=at,
        )
        entry = OutboxEntry.new(Clearing(Step.OBJECTS, (deletion,)), at)
        check = self._actions.check(keys.image_key(image.id), only_if=_BEING_DELETED)
        return await self._done([check, self._actions.put(entry_item(entry))])

    async def usage(self, user_id: str, album_id: str | None) -> Usage | None:
        item = await self._get(_usage_key(user_id, album_id))
        return to_usage(item) if item else None

    async def counted(self, user_id: str, album_id: str | None) -> Usage:
        index, partition = USER_INDEX, keys.user_partition(user_id)
        if album_id is not None:
            index, partition = ALBUM_INDEX, keys.album_partition(user_id, album_id)
        request: dict[str, Any] = {
            "TableName": self._table_name,
            "IndexName": index.name,
            "KeyConditionExpression": f"{index.partition_key} = :partition",
            "ExpressionAttributeValues": to_wire({":partition": partition}),
            "ProjectionExpression": "renditions",
        }
        images = size = 0
        while True:
            with translated("dynamodb:Query"):
                answer = await self._client.query(**request)
            images += len(answer["Items"])
            size += sum(counted_bytes(from_wire(item)) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return Usage(user_id, album_id, images, size)
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def correct_usage(self, seen: Usage | None, right: Usage) -> bool:
        key = _usage_key(right.user_id, right.album_id)
        as_seen = Condition("attribute_not_exists(PK)")
        if seen is not None:
            as_seen = Condition(
                "imageCount = :images AND totalBytes = :size",
                {":images": seen.images, ":size": seen.size_bytes},
            )
        if right.album_id is not None and right.images == 0:
            return await self._done([self._actions.delete(key, only_if=as_seen)])
        counts = {"imageCount": right.images, "totalBytes": right.size_bytes}
        write = self._actions.update(key, set_to={**USAGE, **counts}, only_if=as_seen)
        return await self._done([write])

    async def wrong_pointers(self, image: Image) -> tuple[int, int]:
        wanted = tag_pointers(image)
        found = await asyncio.gather(
            *(self._get({"PK": pointer["PK"], "SK": pointer["SK"]}) for pointer in wanted)
        )
        pairs = list(zip(wanted, found, strict=True))
        stale = sum(bool(there) and not _agree(pointer, there) for pointer, there in pairs)
        return found.count({}), stale

    async def rewrite_pointers(self, image: Image) -> bool:
        still = Condition(_STILL, {":seen": image.version})
        check = self._actions.check(keys.image_key(image.id), only_if=still)
        return await self._done([check, *pointer_actions(self._actions, None, image)])

    async def remove_pointer(self, pointer: TagPointer, seen: ImageRecord | None) -> bool:
        place = keys.uploaded(Position(pointer.uploaded_at, pointer.image_id))
        gone = "attribute_not_exists(PK) OR attribute_exists(deletedAt)"
        as_seen = Condition(gone)
        if seen is not None and seen.deleted_at is None:
            as_seen = Condition(f"{gone} OR version = :seen", {":seen": seen.image.version})
        return await self._done(
            [
                self._actions.check(keys.image_key(pointer.image_id), only_if=as_seen),
                self._actions.delete(
                    {"PK": keys.tag_key_partition(pointer.user_id, pointer.key), "SK": place}
                ),
            ]
        )

    async def _get(self, key: keys.Key) -> Item:
        with translated("dynamodb:GetItem"):
            answer = await self._client.get_item(
                TableName=self._table_name, Key=to_wire(key), ConsistentRead=True
            )
        return from_wire(answer.get("Item", {}))

    async def _done(self, writes: Sequence[TransactWriteItemTypeDef]) -> bool:
        try:
            await self._transactions.run(writes)
        except ConditionFailed:
            return False
        return True


def _agree(pointer: Item, there: Item) -> bool:
    return all(pointer.get(name) == there.get(name) for name in ("id", "tags", "albumId"))


def _usage_key(user_id: str, album_id: str | None) -> keys.Key:
    if album_id is None:
        return keys.user_usage_key(user_id)
    return keys.album_usage_key(user_id, album_id)
