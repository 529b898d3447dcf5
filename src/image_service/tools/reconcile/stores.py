"""The stores that are compared and repaired, and the ways a repair may fail."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from image_service.ports import ImageRepository, ObjectStore, Outbox, Rerenders, UploadIntents
from image_service.tools.reconcile.bucket import S3Inventory
from image_service.tools.reconcile.table import DynamoTableInventory

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    table: DynamoTableInventory
    inventory: S3Inventory
    objects: ObjectStore
    repository: ImageRepository
    intents: UploadIntents
    rerenders: Rerenders
    outbox: Outbox


async def repaired(repair: Awaitable[bool]) -> bool:
    """Returns whether it was made; one that fails is left for another run, and holds nobody up."""
    try:
        return await repair
    except Exception:  # of an item that can't be read, too
        log.warning("repair_failed", exc_info=True)
        return False
