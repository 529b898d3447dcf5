"""The DynamoDB adapter on each engine, with the client at hand to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests import engines

from image_service.adapters.dynamodb import DynamoImageLists, DynamoImageRepository
from image_service.adapters.dynamodb.items import from_wire, to_wire
from image_service.devstack.aws import create_table

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

TABLE_NAME = "ImageMetadata-integration"


@dataclass(frozen=True)
class Table:
    """The table itself, beside the adapters on it."""

    client: DynamoDBClient
    name: str

    @property
    def repository(self) -> DynamoImageRepository:
        return DynamoImageRepository(self.client, self.name)

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


@pytest.fixture(scope="session", params=engines.engines(engines.DYNAMODB_LOCAL))
def dynamodb_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == engines.EMULATOR:
        yield request.getfixturevalue("emulator")
        return
    with engines.dynamodb_local() as url:
        yield url


@pytest.fixture(scope="session")
async def table(dynamodb_endpoint: str) -> AsyncIterator[Table]:
    async with engines.dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, TABLE_NAME)
        yield Table(client, TABLE_NAME)


@pytest.fixture
def user(unique: str) -> str:
    return f"user-{unique}"
