"""Trials that use the table."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX, Index
from image_service.adapters.dynamodb.transactions import Actions, Condition
from image_service.tools.doctor.aws_errors import AwsError, cleared_away, diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, failed, well

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_TABLE: Final = Index("", "PK", "SK")
_TRIAL_SECONDS: Final = 3600
_THERE: Final = Condition("attribute_exists(PK)")
_TRANSACTION: Final = "dynamodb:ConditionCheckItem and UpdateItem, in a transaction"


class TableReadCheck:
    """A `SystemCheck` of the reads that rights are given for apart: each index, and batches."""

    name = "table read"

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def examine(self) -> Sequence[Diagnosis]:
        reads = [
            self._error("dynamodb:Query", self._query(_TABLE)),
            *(
                self._error(f"dynamodb:Query on {index.name}", self._query(index))
                for index in (USER_INDEX, ALBUM_INDEX)
            ),
            self._error("dynamodb:BatchGetItem", self._batch()),
        ]
        errors = [error for error in await asyncio.gather(*reads) if error is not None]
        return errors or [well(self.name, "by query, along both indexes, and in batches")]

    async def _error(self, operation: str, read: Awaitable[Any]) -> Diagnosis | None:
        try:
            with diagnosed(self.name, operation, self._client.meta.endpoint_url):
                await read
        except AwsError as error:
            return error.diagnosis
        return None

    async def _query(self, index: Index) -> None:
        chosen: Any = {"IndexName": index.name} if index.name else {}
        await self._client.query(
            TableName=self._table_name,
            KeyConditionExpression=f"{index.partition_key} = :nobody AND {index.sort_key} > :start",
            ExpressionAttributeValues=to_wire({":nobody": f"DOCTOR#{uuid.uuid4()}", ":start": "A"}),
            Limit=1,
            **chosen,
        )

    async def _batch(self) -> None:
        key = to_wire({"PK": f"DOCTOR#{uuid.uuid4()}", "SK": "PROBE"})
        await self._client.batch_get_item(RequestItems={self._table_name: {"Keys": [key]}})


class TableWriteCheck:
    """A `SystemCheck` that puts two items, under a condition and in a transaction.

    It reads and deletes them.
    """

    name = "table write"

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        self._actions = Actions(table_name)

    async def examine(self) -> Sequence[Diagnosis]:
        partition = f"DOCTOR#{uuid.uuid4()}"
        trial, counter = {"PK": partition, "SK": "PROBE"}, {"PK": partition, "SK": "COUNTER"}
        async with cleared_away(lambda: self._delete(trial, counter)):
            await self._put(trial)
            await self._transact(trial, counter)
            count = (await self._read(counter)).get("count")
        if count != 1:
            detail = "an item just put was not read back"
            return [failed(self.name, detail, "this is no DynamoDB to rely on: use another")]
        detail = "items were put under conditions and in a transaction, read and deleted"
        return [well(self.name, detail)]

    async def _put(self, key: dict[str, str]) -> None:
        item = {**key, "type": "doctor", "schemaVersion": 1, "ttl": _expires()}
        with self._diagnosed("dynamodb:PutItem"):
            await self._client.put_item(
                TableName=self._table_name,
                Item=to_wire(item),
                ConditionExpression="attribute_not_exists(PK)",
            )

    async def _transact(self, trial: dict[str, str], counter: dict[str, str]) -> None:
        count = self._actions.update(counter, set_to={"ttl": _expires()}, add={"count": 1})
        with self._diagnosed(_TRANSACTION):
            await self._client.transact_write_items(
                TransactItems=[self._actions.check(trial, _THERE), count]
            )

    async def _read(self, key: dict[str, str]) -> Item:
        with self._diagnosed("dynamodb:GetItem"):
            response = await self._client.get_item(
                TableName=self._table_name, Key=to_wire(key), ConsistentRead=True
            )
        return from_wire(response.get("Item", {}))

    async def _delete(self, *keys: dict[str, str]) -> None:
        for key in keys:
            with self._diagnosed("dynamodb:DeleteItem"):
                await self._client.delete_item(TableName=self._table_name, Key=to_wire(key))

    def _diagnosed(self, operation: str) -> AbstractContextManager[None]:
        return diagnosed(self.name, operation, self._client.meta.endpoint_url)


def _expires() -> int:
    """Should the deletion fail."""
    return int(time.time()) + _TRIAL_SECONDS
