"""Partitions whose sort key begins with a time, and the queries along them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.table import Query
from image_service.adapters.dynamodb.transactions import Condition
from image_service.domain.listing import ListQuery, Position
from image_service.domain.times import format_timestamp

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index, and the names of its key attributes."""

    name: str
    partition_key: str
    sort_key: str


USER_INDEX: Final = Index("UserIndex", "GSI1PK", "GSI1SK")
ALBUM_INDEX: Final = Index("AlbumIndex", "GSI2PK", "GSI2SK")
_TABLE: Final = Index("", "PK", "SK")


@dataclass(frozen=True, slots=True)
class Partition:
    """The value of a partition key, in an index or, without one, in the table itself."""

    value: str
    index: Index | None = None


def along(partition: Partition, query: ListQuery, *, start: Position | None, limit: int) -> Query:
    """The next `limit` items in the range and order of `query`.

    The table itself is read consistently; an index can't be.
    """
    index = partition.index or _TABLE
    lower, upper = keys.uploaded_range(query.uploaded_after, query.uploaded_before)
    return Query(
        where=Condition(
            f"{index.partition_key} = :partition AND {index.sort_key} BETWEEN :lower AND :upper",
            {":partition": partition.value, ":lower": lower, ":upper": upper},
        ),
        index=None if partition.index is None else partition.index.name,
        start=None if start is None else _start_key(partition, start),
        ascending=query.order == "asc",
        consistent=partition.index is None,
        limit=limit,
    )


def older(partition: str, until: datetime | None) -> Query:
    """Returns what lies in `partition` up to that moment, oldest first, read consistently."""
    where = Condition("PK = :partition", {":partition": partition})
    if until is not None:
        # A key goes on with "#" after its time; "$" is the character after that.
        end = f"{format_timestamp(until)}$"
        where = Condition(f"{where.expression} AND SK < :end", {**where.values, ":end": end})
    return Query(where=where, consistent=True, page=_PAGE)


def _start_key(partition: Partition, start: Position) -> keys.Key:
    """Made of what the service knows, never of a key that a client sent."""
    place = keys.uploaded(start)
    if partition.index is None:
        return {"PK": partition.value, "SK": place}
    index = partition.index
    return {
        **keys.image_key(start.image_id),
        index.partition_key: partition.value,
        index.sort_key: place,
    }
