"""The outbox: entries that are due, under a lease while somebody works on them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from image_service.adapters.aws_errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.actions import Actions, Condition
from image_service.adapters.dynamodb.entries import (
    entry_item,
    entry_key,
    milliseconds,
    to_entry,
)
from image_service.adapters.dynamodb.items import Item, to_wire
from image_service.adapters.dynamodb.queues import older_items
from image_service.adapters.dynamodb.transactions import PATIENCE, ConditionFailed, Transactions
from image_service.domain.outbox import CachePurge, Lease, OutboxEntry

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_LEASES_AT_ONCE: Final = 10
_FREE: Final = "attribute_exists(PK) AND (attribute_not_exists(leaseUntil) OR leaseUntil <= :now)"
_UNTOUCHED: Final = Condition("attribute_exists(PK) AND attribute_not_exists(leaseOwner)")


class DynamoOutbox:
    """An `Outbox`. Its sort keys begin with the time an entry is due, so moving it is a swap."""

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, patience: float = PATIENCE
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._actions = Actions(table_name)
        self._transactions = Transactions(client, patience=patience)

    async def add(self, entry: OutboxEntry) -> None:
        with translated("dynamodb:PutItem"):
            await self._client.put_item(TableName=self._table_name, Item=to_wire(entry_item(entry)))

    async def add_cache_purge(self, user_id: str, image_id: str, at: datetime) -> None:
        await self.add(OutboxEntry.new(CachePurge(user_id, image_id), at))

    async def take(self, lease: Lease, now: datetime, limit: int) -> Sequence[OutboxEntry]:
        taken: list[OutboxEntry] = []
        shards = list(range(keys.SHARDS))
        random.shuffle(shards)  # so that workers don't all begin with the same entries
        for shard in shards:
            if len(taken) >= limit:
                break
            due = older_items(self._client, self._table_name, keys.outbox_partition(shard), now)
            waiting: list[Item] = []
            async for item in due:
                if int(item.get("leaseUntil", 0)) <= _milliseconds(now):
                    waiting.append(item)
                if len(taken) + len(waiting) >= limit:
                    break
            taken += await self._hold(waiting, lease, now)
        return taken

    async def _hold(self, items: Sequence[Item], lease: Lease, now: datetime) -> list[OutboxEntry]:
        held: list[OutboxEntry] = []
        for start in range(0, len(items), _LEASES_AT_ONCE):
            some = items[start : start + _LEASES_AT_ONCE]
            won = await asyncio.gather(*(self._hold_one(item, lease, now) for item in some))
            held += [to_entry(item, lease) for item, mine in zip(some, won, strict=True) if mine]
        return held

    async def _hold_one(self, item: Item, lease: Lease, now: datetime) -> bool:
        with translated("dynamodb:UpdateItem"):
            try:
                await self._client.update_item(
                    TableName=self._table_name,
                    Key=to_wire({"PK": item["PK"], "SK": item["SK"]}),
                    UpdateExpression="SET leaseOwner = :owner, leaseUntil = :until",
                    ConditionExpression=_FREE,
                    ExpressionAttributeValues=to_wire(
                        {
                            ":owner": lease.owner,
                            ":until": milliseconds(lease),
                            ":now": _milliseconds(now),
                        }
                    ),
                )
            except (
                self._client.exceptions.ConditionalCheckFailedException,
                self._client.exceptions.TransactionConflictException,
            ):
                return False  # another was faster, or is moving it on
        return True

    async def replace(self, old: Sequence[OutboxEntry], new: OutboxEntry | None) -> bool:
        writes = [self._drop(entry) for entry in old]
        if new is not None:
            writes.append(self._actions.put(entry_item(new)))
        return await self._swap(writes)

    async def set_aside(self, entry: OutboxEntry) -> bool:
        aside = entry_item(replace(entry, lease=None)) | {"PK": keys.SET_ASIDE}
        return await self._swap([self._drop(entry), self._actions.put(aside)])

    async def aside(self) -> AsyncIterator[OutboxEntry]:
        async for item in older_items(self._client, self._table_name, keys.SET_ASIDE, None):
            yield to_entry(item)

    async def revive(self, entry: OutboxEntry, at: datetime) -> None:
        again = entry_item(replace(entry, due_at=at, tries=0, lease=None))
        key = {"PK": keys.SET_ASIDE, "SK": entry_key(entry)["SK"]}
        there = Condition("attribute_exists(PK)")
        await self._swap([self._actions.delete(key, only_if=there), self._actions.put(again)])

    def _drop(self, entry: OutboxEntry) -> TransactWriteItemTypeDef:
        mine = _UNTOUCHED
        if entry.lease is not None:
            mine = Condition("leaseOwner = :holder", {":holder": entry.lease.owner})
        return self._actions.delete(entry_key(entry), only_if=mine)

    async def _swap(self, writes: Sequence[TransactWriteItemTypeDef]) -> bool:
        try:
            await self._transactions.run(writes)
        except ConditionFailed:
            return False
        return True


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
