"""Many images by id in one call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.domain.errors import DependencyUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        KeysAndAttributesOutputTypeDef,
        KeysAndAttributesTypeDef,
    )

log = structlog.stdlib.get_logger(__name__)

MAX_BATCH: Final = 100  # DynamoDB's own limit
_TRIES: Final = 8  # of which the waits add up to at most about 3 s
_FIRST_WAIT: Final = 0.025  # seconds


class BatchReader:
    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def read(self, image_ids: Sequence[str]) -> dict[str, Item]:
        """The items of at most 100 images by id, read consistently; absent ones are left out.

        Raises DependencyUnavailable where DynamoDB keeps leaving some unprocessed.
        """
        pending: KeysAndAttributesTypeDef | KeysAndAttributesOutputTypeDef = {
            "Keys": [to_wire(keys.image_key(image_id)) for image_id in image_ids],
            "ConsistentRead": True,
        }
        items: dict[str, Item] = {}
        for attempt in range(_TRIES):
            with translated("dynamodb:BatchGetItem"):
                answer = await self._client.batch_get_item(RequestItems={self._table_name: pending})
            for wire in answer["Responses"].get(self._table_name, []):
                item = from_wire(wire)
                items[keys.image_id_of(item["PK"])] = item
            unprocessed = answer.get("UnprocessedKeys", {})
            if self._table_name not in unprocessed:
                return items
            pending = unprocessed[self._table_name]  # consistency and all
            await asyncio.sleep(random.uniform(0.5, 1) * _FIRST_WAIT * 2**attempt)  # noqa: S311 # jitter
        log.warning("batch_read_unprocessed", tries=_TRIES)
        raise DependencyUnavailable
