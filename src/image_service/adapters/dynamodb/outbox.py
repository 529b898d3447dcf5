"""The outbox: entries that are due, under a lease while somebody works on them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.entries import (
    UnreadableEntry,
    entry_item,
    entry_key,
    milliseconds,
    to_entry,
)
from image_service.adapters.dynamodb.items import Item
from image_service.adapters.dynamodb.partitions import older
from image_service.adapters.dynamodb.table import Table, WriteConflict
from image_service.adapters.dynamodb.transactions import Condition, ConditionFailed
from image_service.domain.outbox import Lease, OutboxEntry, OutboxQueue
from image_service.domain.time_limits import TRANSACTION_PATIENCE

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

log = structlog.stdlib.get_logger(__name__)

_LEASES_AT_ONCE: Final = 10
_REPORTED: Final = 1_000  # unreadable entries, each once
_FREE: Final = "attribute_exists(PK) AND (attribute_not_exists(leaseUntil) OR leaseUntil <= :now)"
_UNTOUCHED: Final = Condition("attribute_exists(PK) AND attribute_not_exists(leaseOwner)")


class DynamoOutbox:
    """An `Outbox`. Its sort keys begin with the time an entry is due, so moving it is a swap.

    `unreadable` is where entries lie that were met and left alone.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, patience: float = TRANSACTION_PATIENCE
    ) -> None:
        self._table = Table(client, table_name, patience=patience)
        self._actions = self._table.actions
        self.unreadable: set[str] = set()

    async def add(self, entry: OutboxEntry) -> None:
        await self._table.write(self._actions.put(entry_item(entry)))

    async def add_cache_purge(self, user_id: str, image_id: str, at: datetime) -> None:
        item = entry_item(OutboxEntry.note(user_id, image_id, at))
        key = {"PK": item.pop("PK"), "SK": item.pop("SK")}
        # Whoever works on the note loses it, because it does not know of this image.
        write = self._actions.update(
            key,
            add={"imageIds": item.pop("imageIds")},
            set_to=item,
            remove=("leaseOwner", "leaseUntil"),
        )
        try:  # not as a transaction, because those of one user would get in each other's way
            await self._table.write(write)
        except WriteConflict:
            await self._table.transact([write])  # the note is just being moved

    async def take(
        self, queue: OutboxQueue, lease: Lease, now: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        taken: list[OutboxEntry] = []
        shards = list(range(keys.SHARDS))
        random.shuffle(shards)  # so that workers don't all begin with the same entries
        for shard in shards:
            if len(taken) >= limit:
                break
            partition = keys.outbox_partition(queue, shard)
            waiting = await self._free(partition, now, limit - len(taken))
            taken += await self._hold(waiting, lease, now)
        return taken

    async def _free(self, partition: str, now: datetime, limit: int) -> list[OutboxEntry]:
        free: list[OutboxEntry] = []
        async for item in self._table.query(older(partition, now)):
            # Read before it is held: what can't be done here must not be kept from others.
            entry = self._readable(item)
            if entry is not None and int(item.get("leaseUntil", 0)) <= _milliseconds(now):
                free.append(entry)
            if len(free) >= limit:
                break
        return free

    def _readable(self, item: Item) -> OutboxEntry | None:
        place = f"{item['PK']} {item['SK']}"
        try:
            return to_entry(item)
        except UnreadableEntry as error:
            if place not in self.unreadable and len(self.unreadable) < _REPORTED:
                self.unreadable.add(place)
                cause = repr(error.__cause__ or error)
                log.error(  # noqa: TRY400 # the data's error: a trace says nothing
                    "outbox_entry_unreadable", entry=place, cause=cause, count=len(self.unreadable)
                )
        return None

    async def _hold(
        self, entries: Sequence[OutboxEntry], lease: Lease, now: datetime
    ) -> list[OutboxEntry]:
        held: list[OutboxEntry | None] = []
        for start in range(0, len(entries), _LEASES_AT_ONCE):
            some = entries[start : start + _LEASES_AT_ONCE]
            held += await asyncio.gather(*(self._hold_one(entry, lease, now) for entry in some))
        return [entry for entry in held if entry is not None]

    async def _hold_one(
        self, entry: OutboxEntry, lease: Lease, now: datetime
    ) -> OutboxEntry | None:
        """As it is by then: a note may have grown since it was read."""
        hold = self._actions.update(
            entry_key(entry),
            set_to={"leaseOwner": lease.owner, "leaseUntil": milliseconds(lease)},
            only_if=Condition(_FREE, {":now": _milliseconds(now)}),
        )
        try:
            held = self._readable(await self._table.write(hold))
        except (ConditionFailed, WriteConflict):
            return None  # another was faster, or is moving it on
        return held and replace(held, lease=lease)

    async def replace(self, old: Sequence[OutboxEntry], new: OutboxEntry | None) -> bool:
        writes = [self._drop(entry) for entry in old]
        if new is not None:
            writes.append(self._actions.put(entry_item(new)))
        return await self._swap(writes)

    async def give_up(self, entry: OutboxEntry) -> bool:
        dead_letter = entry_item(replace(entry, lease=None)) | {"PK": keys.DEAD_LETTERS}
        return await self._swap([self._drop(entry), self._actions.put(dead_letter)])

    async def dead_letters(self) -> AsyncIterator[OutboxEntry]:
        async for item in self._table.query(older(keys.DEAD_LETTERS, None)):
            entry = self._readable(item)
            if entry is not None:
                yield entry

    async def revive(self, entry: OutboxEntry, at: datetime) -> bool:
        again = entry_item(replace(entry, due_at=at, tries=0, lease=None))
        key = {"PK": keys.DEAD_LETTERS, "SK": entry_key(entry)["SK"]}
        there = Condition("attribute_exists(PK)")
        swap = [self._actions.delete(key, only_if=there), self._actions.put(again)]
        return await self._swap(swap)

    def _drop(self, entry: OutboxEntry) -> TransactWriteItemTypeDef:
        mine = _UNTOUCHED
        if entry.lease is not None:
            mine = Condition("leaseOwner = :holder", {":holder": entry.lease.owner})
        return self._actions.delete(entry_key(entry), only_if=mine)

    async def _swap(self, writes: Sequence[TransactWriteItemTypeDef]) -> bool:
        try:
            await self._table.transact(writes)
        except ConditionFailed:
            return False
        return True


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
