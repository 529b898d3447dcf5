"""The size of the outbox, at a price that does not grow with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ulid import ULID

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item
from image_service.adapters.dynamodb.table import Query, Table
from image_service.adapters.dynamodb.transactions import Condition
from image_service.domain.outbox import Backlog, OutboxQueue
from image_service.domain.times import parse_timestamp

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

# Entries looked at of each partition: some 250 KB, or 32 read units where it is full, and
# half a unit where it is empty, as it nearly always is.
_LOOKED_AT: Final = 250


class DynamoBacklog:
    """Reader of the head of each shard, and of the dead letters; never scans."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    async def measure(self, now: datetime) -> Backlog:
        """Raises DependencyUnavailable."""
        shards = [
            keys.outbox_partition(queue, shard)
            for queue in OutboxQueue
            for shard in range(keys.SHARDS)
        ]
        looks = map(self._head, (*shards, keys.DEAD_LETTERS))
        # All have ended, whatever one says: none outlives the client it asks.
        heads = await asyncio.gather(*looks, return_exceptions=True)
        *waiting, dead = [_items_of(head) for head in heads]
        ages = [_age(item, now) for items in waiting for item in items]
        ages = [age for age in ages if age >= 0]  # what was written for later does not wait yet
        return Backlog(waiting=len(ages), oldest_age=max(0.0, *ages, 0.0), dead_letters=len(dead))

    async def _head(self, partition: str) -> list[Item]:
        """The keys of its first entries. Need not be the latest: it is only looked at."""
        head = Query(
            where=Condition("PK = :partition", {":partition": partition}),
            attributes="SK",
            limit=_LOOKED_AT,
        )
        return [item async for item in self._table.query(head)]


def _items_of(head: list[Item] | BaseException) -> list[Item]:
    if isinstance(head, BaseException):
        raise head
    return head


def _age(item: Item, now: datetime) -> float:
    """Seconds since it was written: the time in its id, which putting it off doesn't change.

    Whatever nobody can read waits as well: it counts since it was due, or else as new.
    """
    due_at, _, entry_id = item["SK"].partition("#")
    for read, text in ((_written_at, entry_id), (parse_timestamp, due_at)):
        with suppress(ValueError, OverflowError):
            return (now - read(text)).total_seconds()
    return 0.0


def _written_at(entry_id: str) -> datetime:
    return ULID.from_str(entry_id).datetime
