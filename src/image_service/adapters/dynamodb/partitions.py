"""Reading along one partition whose sort key is the time of upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.domain.listing import ListQuery, Position

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import QueryInputTypeDef


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index, and the names of its key attributes."""

    name: str
    partition_key: str
    sort_key: str


USER_INDEX: Final = Index("UserIndex", "GSI1PK", "GSI1SK")
ALBUM_INDEX: Final = Index("AlbumIndex", "GSI2PK", "GSI2SK")


@dataclass(frozen=True, slots=True)
class Partition:
    """The value of a partition key, in an index or, without one, in the table itself."""

    value: str
    index: Index | None = None


class PartitionReader:
    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def read(
        self, partition: Partition, query: ListQuery, *, start: Position | None, count: int
    ) -> list[Item]:
        """The next `count` items in the query's range and order; fewer only at the end.

        The table itself is read consistently; an index can't be.
        """
        request = self._request(partition, query)
        if start is not None:
            request["ExclusiveStartKey"] = to_wire(_start_key(partition, start))
        items: list[Item] = []
        while True:
            request["Limit"] = count - len(items)
            with translated("dynamodb:Query"):
                answer = await self._client.query(**request)
            items += [from_wire(item) for item in answer["Items"]]
            # An answer ends early at 1 MB; only a missing last key is the end.
            if len(items) >= count or "LastEvaluatedKey" not in answer:
                return items
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _request(self, partition: Partition, query: ListQuery) -> QueryInputTypeDef:
        index = partition.index or Index("", "PK", "SK")
        lower, upper = keys.uploaded_range(query.uploaded_after, query.uploaded_before)
        request: QueryInputTypeDef = {
            "TableName": self._table_name,
            "KeyConditionExpression": (
                f"{index.partition_key} = :partition AND {index.sort_key} BETWEEN :lower AND :upper"
            ),
            "ExpressionAttributeValues": to_wire(
                {":partition": partition.value, ":lower": lower, ":upper": upper}
            ),
            "ScanIndexForward": query.order == "asc",
        }
        if partition.index is None:
            request["ConsistentRead"] = True
        else:
            request["IndexName"] = partition.index.name
        return request


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
