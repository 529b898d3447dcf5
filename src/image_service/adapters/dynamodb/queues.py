"""Reading partitions whose sort key begins with a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.domain.times import format_timestamp

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_PAGE: Final = 100


async def older_items(
    client: DynamoDBClient, table_name: str, partition: str, until: datetime | None
) -> AsyncIterator[Item]:
    """What lies in `partition` up to that moment, oldest first, read consistently."""
    request: dict[str, Any] = {
        "TableName": table_name,
        "KeyConditionExpression": "PK = :partition",
        "ExpressionAttributeValues": to_wire({":partition": partition}),
        "ConsistentRead": True,
        "Limit": _PAGE,
    }
    if until is not None:
        # A key goes on with "#" after its time; "$" is the character after that.
        request["KeyConditionExpression"] += " AND SK < :end"
        request["ExpressionAttributeValues"] |= to_wire({":end": f"{format_timestamp(until)}$"})
    while True:
        with translated("dynamodb:Query"):
            answer = await client.query(**request)
        for item in answer["Items"]:
            yield from_wire(item)
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
