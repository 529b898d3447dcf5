"""Images by id, each write one transaction over the image and its indexes."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from image_service.adapters.dynamodb import idempotency, intents, keys
from image_service.adapters.dynamodb.entries import entry_item
from image_service.adapters.dynamodb.indexes import pointer_actions, usage_actions
from image_service.adapters.dynamodb.items import (
    Item,
    image_item,
    is_live,
    to_image,
)
from image_service.adapters.dynamodb.table import Table, WriteConflict
from image_service.adapters.dynamodb.transactions import Actions, Condition, ConditionFailed
from image_service.domain.errors import (
    Contended,
    DependencyUnavailable,
    IdempotencyInProgress,
    ImageNotFound,
    OutcomeUnknown,
    VersionMismatch,
)
from image_service.domain.images import Deletion, Image
from image_service.domain.outbox import OutboxEntry
from image_service.domain.time_limits import TRANSACTION_PATIENCE
from image_service.domain.times import format_timestamp
from image_service.domain.uploads import Claim, UploadIntent

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TransactWriteItemTypeDef

log = structlog.stdlib.get_logger(__name__)

# A guess is wrong again only where others empty and refill the album in between.
_ALBUM_GUESSES: Final = 20
_LONGEST_GUESS: Final = 0.2  # seconds between two

_ABSENT: Final = Condition("attribute_not_exists(PK)")
_NOT_LIVE: Final = Condition("attribute_not_exists(PK) OR attribute_exists(deletedAt)")


class DynamoImageRepository:
    """An `ImageRepository` in one table. An image being deleted has `deletedAt`."""

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, patience: float = TRANSACTION_PATIENCE
    ) -> None:
        self._table = Table(client, table_name, patience=patience)
        self._actions = self._table.actions

    async def get(self, image_id: str) -> Image | None:
        item = await self._table.get(keys.image_key(image_id))
        return to_image(item) if is_live(item) else None

    async def add(
        self, image: Image, *, intent: UploadIntent | None = None, claim: Claim | None = None
    ) -> None:
        writes = [self._actions.put(image_item(image), only_if=_ABSENT)]
        if claim is not None:
            writes.append(idempotency.commit_action(self._actions, claim, image))
        if intent is not None:
            writes.append(intents.commit_action(self._actions, intent))
        try:
            await self._table.transact([*writes, *self._index_actions(None, image)])
        except ConditionFailed as failed:
            if claim is not None and failed.items[0] is None and failed.items[1] is not None:
                raise IdempotencyInProgress(retry_after=1) from failed
            if failed.in_doubt and failed.items[0] is not None:
                raise OutcomeUnknown from failed
            log.error("image_not_committable", image_id=image.id)  # noqa: TRY400 # no bug's trace
            raise DependencyUnavailable from failed

    async def update(self, before: Image, after: Image, *, until: float | None = None) -> None:
        await self._change(before, after, [replacing(self._actions, before, after)], until)

    async def mark_deleted(
        self, image: Image, at: datetime, *, until: float | None = None
    ) -> OutboxEntry:
        entry = OutboxEntry.of(image, at)
        mark = self._actions.update(
            keys.image_key(image.id),
            set_to={"deletedAt": format_timestamp(at)},
            remove=("GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK"),
            only_if=_still(image),
        )
        await self._change(image, None, [mark, self._actions.put(entry_item(entry))], until)
        return entry

    async def forget(self, deletion: Deletion) -> None:
        remains = self._actions.delete(keys.image_key(deletion.image_id), only_if=_NOT_LIVE)
        try:
            await self._table.write(remains)
        except (ConditionFailed, WriteConflict) as failed:
            log.error("live_image_not_forgotten", image_id=deletion.image_id)  # noqa: TRY400 # as above
            raise DependencyUnavailable from failed

    async def _change(
        self,
        before: Image,
        after: Image | None,
        writes: list[TransactWriteItemTypeDef],
        until: float | None,
    ) -> None:
        """Run `writes`, the first of them on `before`, with what follows for the indexes."""
        album_empties = False
        for guess in range(_ALBUM_GUESSES):
            if guess > 1:  # both were wrong: somebody empties and refills it at this moment
                if until is not None and asyncio.get_running_loop().time() >= until:
                    break
                await asyncio.sleep(random.uniform(0, _LONGEST_GUESS))  # noqa: S311 # not a secret
            indexes = self._index_actions(before, after, album_empties=album_empties)
            try:
                return await self._table.transact([*writes, *indexes], until=until)
            except ConditionFailed as failed:
                if failed.items[0] is not None:
                    if failed.in_doubt:  # it may be no longer `before` by our own doing
                        raise OutcomeUnknown from failed
                    raise no_longer(before, failed.items[0]) from failed
                album_empties = not album_empties
        log.warning("album_contended", image_id=before.id)
        raise Contended

    def _index_actions(
        self, before: Image | None, after: Image | None, *, album_empties: bool = False
    ) -> list[TransactWriteItemTypeDef]:
        return [
            *usage_actions(self._actions, before, after, album_empties=album_empties),
            *pointer_actions(self._actions, before, after),
        ]


def replacing(actions: Actions, before: Image, after: Image) -> TransactWriteItemTypeDef:
    """The image's own part of its replacement: only what changes."""
    old, new = image_item(before), image_item(after)
    return actions.update(
        keys.image_key(before.id),
        set_to={name: value for name, value in new.items() if old.get(name) != value},
        remove=sorted(old.keys() - new.keys()),
        only_if=_still(before),
    )


def _still(image: Image) -> Condition:
    """Same renditions, too: what they take is counted, and a deletion has to name them all."""
    unchanged = "version = :was AND userId = :owner AND attribute_not_exists(deletedAt)"
    values = {":was": image.version, ":owner": image.user_id}
    if not image.revision:
        return Condition(f"{unchanged} AND attribute_not_exists(revision)", values)
    return Condition(f"{unchanged} AND revision = :made", {**values, ":made": image.revision})


def no_longer(image: Image, item: Item) -> ImageNotFound | VersionMismatch:
    """Returns why `_still` did not hold for the item as it is."""
    if not is_live(item) or item["userId"] != image.user_id:
        return ImageNotFound()
    return VersionMismatch(int(item["version"]))
