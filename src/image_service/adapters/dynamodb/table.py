"""The one table, in items of plain Python values: every call the adapters make of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.adapters.dynamodb.keys import Key
from image_service.adapters.dynamodb.transactions import (
    Actions,
    Condition,
    ConditionFailed,
    Transactions,
)
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.time_limits import TRANSACTION_PATIENCE

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        KeysAndAttributesOutputTypeDef,
        KeysAndAttributesTypeDef,
        TransactWriteItemTypeDef,
    )

log = structlog.stdlib.get_logger(__name__)

MAX_BATCH: Final = 100  # DynamoDB's own limit
_TRIES: Final = 8  # of which the waits add up to at most about 3 s
_FIRST_WAIT: Final = 0.025  # seconds


class WriteConflict(DependencyUnavailable):
    """A transaction held the item at that moment; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One partition, read in the order of its sort keys.

    `limit` is the most items returned, `page` the most that one request asks for.
    """

    where: Condition
    index: str | None = None
    start: Key | None = None
    ascending: bool = True
    consistent: bool = False
    limit: int | None = None
    page: int | None = None
    attributes: str | None = None


class Table:
    """Reads and writes of one table; `actions` makes what `write` and `transact` take.

    Every call raises DependencyUnavailable where DynamoDB fails.
    """

    def __init__(
        self, client: DynamoDBClient, name: str, *, patience: float = TRANSACTION_PATIENCE
    ) -> None:
        self.name = name
        self.actions = Actions(name)
        self._client = client
        self.transact = Transactions(client, patience=patience).run
        """Carries out all of some actions, or none."""

    async def get(self, key: Key, *, consistent: bool = True) -> Item:
        """The item; empty where there is none."""
        with translated("dynamodb:GetItem"):
            response = await self._client.get_item(
                TableName=self.name, Key=to_wire(key), ConsistentRead=consistent
            )
        return from_wire(response.get("Item", {}))

    async def query(self, query: Query) -> AsyncIterator[Item]:
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": query.where.expression,
            "ExpressionAttributeValues": to_wire(query.where.values),
            "ScanIndexForward": query.ascending,
            "ConsistentRead": query.consistent,
        }
        if query.index is not None:
            request["IndexName"] = query.index
        if query.attributes is not None:
            request["ProjectionExpression"] = query.attributes
        if query.start is not None:
            request["ExclusiveStartKey"] = to_wire(query.start)
        if query.page is not None:
            request["Limit"] = query.page
        left = query.limit
        while True:
            if left is not None:
                request["Limit"] = left
            with translated("dynamodb:Query"):
                response = await self._client.query(**request)
            for item in response["Items"]:
                yield from_wire(item)
            # A page ends early at 1 MB; only a missing last key is the end.
            if "LastEvaluatedKey" not in response:
                return
            if left is not None and (left := left - len(response["Items"])) <= 0:
                return
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    async def batch_get(self, wanted: Sequence[Key]) -> list[Item]:
        """The items of at most MAX_BATCH keys, read consistently; absent ones are left out."""
        pending: KeysAndAttributesTypeDef | KeysAndAttributesOutputTypeDef = {
            "Keys": [to_wire(key) for key in wanted],
            "ConsistentRead": True,
        }
        items: list[Item] = []
        for attempt in range(_TRIES):
            with translated("dynamodb:BatchGetItem"):
                response = await self._client.batch_get_item(RequestItems={self.name: pending})
            items += map(from_wire, response["Responses"].get(self.name, []))
            unprocessed = response.get("UnprocessedKeys", {})
            if self.name not in unprocessed:
                return items
            pending = unprocessed[self.name]  # consistency and all
            await asyncio.sleep(random.uniform(0.5, 1) * _FIRST_WAIT * 2**attempt)  # noqa: S311 # jitter
        log.warning("batch_read_unprocessed", tries=_TRIES)
        raise DependencyUnavailable

    async def write(self, action: TransactWriteItemTypeDef) -> Item:
        """Carry out one put, update or delete; what an update left.

        Raises ConditionFailed with the item as it is, and WriteConflict.
        """
        ((kind, given),) = action.items()
        request: dict[str, Any] = dict(given)  # type: ignore[call-overload]
        if kind == "Update":
            request["ReturnValues"] = "ALL_NEW"
        call: Any = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }[kind]
        errors = self._client.exceptions
        with translated(f"dynamodb:{kind}Item"):
            try:
                response = await call(**request)
            except errors.ConditionalCheckFailedException as failed:
                item: Any = failed.response.get("Item", {})
                raise ConditionFailed([from_wire(item)], in_doubt=False) from failed
            except errors.TransactionConflictException as conflict:
                raise WriteConflict from conflict
        return from_wire(response.get("Attributes", {}))
