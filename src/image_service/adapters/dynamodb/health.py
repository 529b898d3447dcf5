"""The health probe of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_service.adapters.dynamodb.table import Table

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


class DynamoHealth:
    """A `HealthProbe`. Reads a key that is never there.

    DescribeTable would say less: it is served by the control plane, and is rate-limited.
    """

    name = "dynamodb"

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    async def ping(self) -> None:
        await self._table.get({"PK": "HEALTH", "SK": "PING"}, consistent=False)
