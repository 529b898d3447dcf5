"""The one table with the adapters on it, and the client at hand to look behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from image_service.adapters.dynamodb import DynamoImageLists, DynamoImageRepository
from image_service.adapters.dynamodb.items import from_wire, to_wire
from image_service.domain.time_limits import TRANSACTION_PATIENCE

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


@dataclass(frozen=True)
class Table:
    """The table itself, beside the adapters on it."""

    client: DynamoDBClient
    name: str
    patience: float = TRANSACTION_PATIENCE

    @property
    def repository(self) -> DynamoImageRepository:
        return DynamoImageRepository(self.client, self.name, patience=self.patience)

    @property
    def lists(self) -> DynamoImageLists:
        return DynamoImageLists(self.client, self.name)

    async def item(self, partition: str, sort: str) -> dict[str, Any]:
        """Empty where there is none."""
        answer = await self.client.get_item(
            TableName=self.name, Key=to_wire({"PK": partition, "SK": sort}), ConsistentRead=True
        )
        return from_wire(answer.get("Item", {}))

    async def partition(self, value: str) -> list[dict[str, Any]]:
        answer = await self.client.query(
            TableName=self.name,
            KeyConditionExpression="PK = :value",
            ExpressionAttributeValues=to_wire({":value": value}),
            ConsistentRead=True,
        )
        return [from_wire(item) for item in answer["Items"]]
