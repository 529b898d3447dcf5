"""Idempotency keys: the claims on them, and the stored responses.

DynamoDB removes expired items hours late, so every condition looks at the times itself.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import (
    SCHEMA_VERSION,
    Item,
    image_item,
    to_image,
)
from image_service.adapters.dynamodb.table import Table, WriteConflict
from image_service.adapters.dynamodb.transactions import Actions, Condition, ConditionFailed
from image_service.domain.errors import IdempotencyInProgress, IdempotencyKeyReused
from image_service.domain.images import Image
from image_service.domain.times import utc_now
from image_service.domain.uploads import RESPONSE_KEPT, Claim

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

_LONGEST_WAIT: Final = 5  # seconds; an upload seldom takes longer
_IN_PROGRESS: Final = "in-progress"
_COMPLETED: Final = "completed"
_FREE: Final = (
    "attribute_not_exists(PK) OR #ttl <= :now OR (#state = :working AND leaseUntil <= :now)"
)
_MINE: Final = "#state = :working AND #owner = :owner"


class DynamoIdempotencyRecords:
    """An `IdempotencyRecords`. Keys are stored as hashes: clients may put anything in them."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)
        self._actions = self._table.actions

    async def claim(self, claim: Claim) -> Image | None:
        free = Condition(
            _FREE,
            {":now": _seconds(claim.claimed_at), ":working": _IN_PROGRESS},
            names={"#state": "state", "#ttl": "ttl"},
        )
        try:
            await self._table.write(self._actions.put(_item(claim), only_if=free))
        except ConditionFailed as held:
            return _stored_response(held.items[0] or {}, claim)
        except WriteConflict:
            raise IdempotencyInProgress(retry_after=1) from None  # at this very moment
        return None

    async def release(self, claim: Claim) -> None:
        mine = Condition(
            _MINE,
            {":working": _IN_PROGRESS, ":owner": claim.owner},
            names={"#state": "state", "#owner": "owner"},
        )
        key = keys.idempotency_key(claim.user_id, claim.key)
        with suppress(ConditionFailed):
            await self._table.write(self._actions.delete(key, only_if=mine))


def commit_action(actions: Actions, claim: Claim, image: Image) -> TransactWriteItemTypeDef:
    """The record's part in the transaction that commits `image`."""
    now = utc_now()
    return actions.update(
        keys.idempotency_key(claim.user_id, claim.key),
        set_to={
            "state": _COMPLETED,
            "answer": image_item(image),
            "ttl": int(_seconds(now + RESPONSE_KEPT)),
        },
        remove=("leaseUntil",),
        only_if=Condition(
            f"{_MINE} AND leaseUntil > :now",
            {":working": _IN_PROGRESS, ":owner": claim.owner, ":now": _seconds(now)},
            names={"#owner": "owner"},
        ),
    )


def _item(claim: Claim) -> Item:
    return {
        **keys.idempotency_key(claim.user_id, claim.key),
        "type": "idempotency",
        "schemaVersion": SCHEMA_VERSION,
        "state": _IN_PROGRESS,
        "owner": claim.owner,
        "fingerprint": claim.fingerprint,
        "leaseUntil": _seconds(claim.expires_at),
        "ttl": int(_seconds(claim.claimed_at + RESPONSE_KEPT)),
    }


def _stored_response(held: Item, claim: Claim) -> Image | None:
    """Returns the outcome of a claim that met a record."""
    if held.get("owner") == claim.owner and held["state"] == _IN_PROGRESS:
        return None  # it is this one: the response to a first try was lost
    if held and held["fingerprint"] != claim.fingerprint:
        raise IdempotencyKeyReused
    if held and held["state"] == _COMPLETED:
        return to_image(held["answer"])
    left = float(held.get("leaseUntil", 0)) - float(_seconds(claim.claimed_at))
    raise IdempotencyInProgress(retry_after=max(1, min(_LONGEST_WAIT, math.ceil(left))))


def _seconds(moment: datetime) -> int:
    """Seconds since 1970, whole as DynamoDB's expiry wants them."""
    return int(moment.astimezone(UTC).timestamp())
