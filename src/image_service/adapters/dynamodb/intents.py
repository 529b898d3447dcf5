"""Upload intents: what is being written, so that nothing is left lying about.

An intent is there from before the first file is put until the transaction that commits
the image. Who withdraws it marks it, and the commit requires it unmarked: so either the
image is committed or its files may be removed, never both. The mark stays until the files
are deleted, and bars a delayed announcement that would undo it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog
from ulid import ULID

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item
from image_service.adapters.dynamodb.partitions import older
from image_service.adapters.dynamodb.table import Table
from image_service.adapters.dynamodb.transactions import Actions, Condition, ConditionFailed
from image_service.domain.times import format_timestamp, parse_timestamp, utc_now
from image_service.domain.uploads import UploadIntent

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

log = structlog.stdlib.get_logger(__name__)

_ABSENT: Final = Condition("attribute_not_exists(PK)")
_THERE: Final = Condition("attribute_exists(PK)")
_UNMARKED: Final = Condition("attribute_not_exists(withdrawnAt)")
_NOT_WITHDRAWN: Final = Condition("attribute_exists(PK) AND attribute_not_exists(withdrawnAt)")


class DynamoUploadIntents:
    """An `UploadIntents`, spread over shards by image."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)
        self._actions = self._table.actions

    async def announce(self, intent: UploadIntent) -> None:
        with suppress(ConditionFailed):  # withdrawn by now: the commit will find out
            await self._table.write(self._actions.put(_item(intent), only_if=_UNMARKED))

    async def withdraw(self, intent: UploadIntent) -> bool:
        try:
            await self._table.transact(
                [
                    self._actions.update(
                        _key(intent),
                        set_to={"withdrawnAt": format_timestamp(utc_now())},
                        only_if=_THERE,
                    ),
                    # An announcement that was long on its way may have come after the commit.
                    self._actions.check(keys.image_key(intent.image_id), only_if=_ABSENT),
                ]
            )
        except ConditionFailed as failed:
            if failed.items[1] is not None:
                await self.forget(intent)
            return False
        return True

    async def forget(self, intent: UploadIntent) -> None:
        await self._table.write(self._actions.delete(_key(intent)))

    async def exists(self, image_id: str) -> bool:
        key = keys.intent_key(image_id, ULID.from_str(image_id).datetime)
        return bool(await self._table.get(key))

    async def stale(self, before: datetime) -> AsyncIterator[UploadIntent]:
        for shard in range(keys.SHARDS):
            partition = keys.intent_partition(shard)
            async for item in self._table.query(older(partition, before)):
                intent = _readable(item)
                if intent is not None:
                    yield intent


def commit_action(actions: Actions, intent: UploadIntent) -> TransactWriteItemTypeDef:
    """The intent's part in the transaction that commits its image."""
    return actions.delete(_key(intent), only_if=_NOT_WITHDRAWN)


def _key(intent: UploadIntent) -> keys.Key:
    return keys.intent_key(intent.image_id, intent.created_at)


def _item(intent: UploadIntent) -> Item:
    return {
        **_key(intent),
        "type": "intent",
        "schemaVersion": SCHEMA_VERSION,
        "imageId": intent.image_id,
        "userId": intent.user_id,
        "objectKeys": list(intent.object_keys),
        "createdAt": format_timestamp(intent.created_at),
    }


def _readable(item: Item) -> UploadIntent | None:
    try:
        return to_intent(item)
    except (KeyError, TypeError, ValueError):
        # Of another release, or damaged: the others must not wait for it.
        log.exception("intent_unreadable", intent=f"{item['PK']} {item['SK']}")
        return None


def to_intent(item: Item) -> UploadIntent:
    return UploadIntent(
        image_id=item["imageId"],
        user_id=item["userId"],
        object_keys=tuple(item["objectKeys"]),
        created_at=parse_timestamp(item["createdAt"]),
    )
