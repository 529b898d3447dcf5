"""The health probe of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb.items import to_wire

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


class DynamoHealth:
    """A `HealthProbe`. Reads a key that is never there.

    DescribeTable would say less: it answers from the control plane, and is rate-limited.
    """

    name = "dynamodb"

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def ping(self) -> None:
        with translated("dynamodb:GetItem"):
            await self._client.get_item(
                TableName=self._table_name, Key=to_wire({"PK": "HEALTH", "SK": "PING"})
            )
