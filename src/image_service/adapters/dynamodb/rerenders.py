"""Holds on images whose renditions are changed, and the transaction that changes them.

A hold has a place of its own for each image, so that a second one finds the first. Whoever
takes one over changes its owner, and the commit requires the owner: so either the image is
committed or the files of the hold may be deleted, never both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.entries import entry_item
from image_service.adapters.dynamodb.indexes import usage_actions
from image_service.adapters.dynamodb.items import SCHEMA_VERSION, Item
from image_service.adapters.dynamodb.partitions import older
from image_service.adapters.dynamodb.repository import no_longer, replacing
from image_service.adapters.dynamodb.table import Table, WriteConflict
from image_service.adapters.dynamodb.transactions import Condition, ConditionFailed
from image_service.domain.errors import OutcomeUnknown
from image_service.domain.images import Image
from image_service.domain.outbox import OutboxEntry
from image_service.domain.rerenders import HoldLost, Rerender
from image_service.domain.times import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

log = structlog.stdlib.get_logger(__name__)

_ABSENT: Final = Condition("attribute_not_exists(PK)")


class DynamoRerenders:
    """A `Rerenders`, spread over shards by image."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)
        self._actions = self._table.actions

    async def begin(self, hold: Rerender) -> bool:
        try:
            await self._table.write(self._actions.put(_item(hold), only_if=_ABSENT))
        except ConditionFailed as held:
            return held.items[0] == _item(hold)  # the response to a first try was lost
        except WriteConflict:
            return False
        return True

    async def get(self, image_id: str) -> Rerender | None:
        item = await self._table.get(keys.rerender_key(image_id))
        return to_rerender(item) if item else None

    async def take_over(self, hold: Rerender, at: datetime) -> Rerender | None:
        taken = hold.taken_over(at)
        try:
            await self._table.write(self._actions.put(_item(taken), only_if=_owned(hold)))
        except ConditionFailed as held:
            return taken if held.items[0] == _item(taken) else None
        return taken

    async def commit(
        self,
        before: Image,
        after: Image,
        hold: Rerender,
        left: Rerender | None,
        *,
        until: float | None = None,
    ) -> None:
        counters = usage_actions(self._actions, before, after, album_empties=False)
        writes = [replacing(self._actions, before, after), self._ending(hold, left), *counters]
        try:
            await self._table.transact(writes, until=until)
        except ConditionFailed as failed:
            if failed.in_doubt:  # it may be no longer `before` by our own doing
                raise OutcomeUnknown from failed
            if failed.items[0] is not None:
                raise no_longer(before, failed.items[0]) from failed
            raise HoldLost from failed

    async def end(
        self, hold: Rerender, following: OutboxEntry | None = None, *, left: Rerender | None = None
    ) -> bool:
        writes = [self._ending(hold, left)]
        if following is not None:
            writes.append(self._actions.put(entry_item(following)))
        try:
            await self._table.transact(writes)
        except ConditionFailed:
            return False
        return True

    def _ending(self, hold: Rerender, left: Rerender | None) -> TransactWriteItemTypeDef:
        if left is not None:
            return self._actions.put(_item(left), only_if=_owned(hold))
        return self._actions.delete(keys.rerender_key(hold.image_id), only_if=_owned(hold))

    async def stale(self, before: datetime) -> AsyncIterator[Rerender]:
        for shard in range(keys.SHARDS):
            async for item in self._table.query(older(keys.rerender_partition(shard), None)):
                hold = _readable(item)
                if hold is not None and hold.began_at <= before:
                    yield hold


def _owned(hold: Rerender) -> Condition:
    return Condition("holder = :holder", {":holder": hold.owner})


def _item(hold: Rerender) -> Item:
    return {
        **keys.rerender_key(hold.image_id),
        "type": "rerender",
        "schemaVersion": SCHEMA_VERSION,
        "imageId": hold.image_id,
        "userId": hold.user_id,
        "holder": hold.owner,
        "objectKeys": list(hold.object_keys),
        "beganAt": format_timestamp(hold.began_at),
        "committed": hold.committed,
    }


def _readable(item: Item) -> Rerender | None:
    try:
        return to_rerender(item)
    except (KeyError, TypeError, ValueError):
        # Of another release, or damaged: the others must not wait for it.
        log.exception("rerender_unreadable", rerender=f"{item['PK']} {item['SK']}")
        return None


def to_rerender(item: Item) -> Rerender:
    return Rerender(
        image_id=item["imageId"],
        user_id=item["userId"],
        owner=item["holder"],
        object_keys=tuple(item["objectKeys"]),
        began_at=parse_timestamp(item["beganAt"]),
        committed=item["committed"],
    )
