"""The audit log: a line for each change, with who made it.

It is written where changes are committed, so that one whose request was given up in the
meantime is there, too. The lines are never silenced (`observability`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog

from image_service.domain.errors import OutcomeUnknown
from image_service.domain.images import Deletion, Image
from image_service.domain.outbox import OutboxEntry
from image_service.domain.uploads import Claim, UploadIntent
from image_service.ports import ImageRepository

AUDIT_LOGGER: Final = "image_service.audit"

log = structlog.stdlib.get_logger(AUDIT_LOGGER)


class AuditedRepository:
    """An `ImageRepository` that writes down what changes in another one.

    The outcome is `done`, or `unknown` where the store did not say; what was certainly not
    done is not an audit's concern.
    """

    def __init__(self, inner: ImageRepository) -> None:
        self._inner = inner

    async def get(self, image_id: str) -> Image | None:
        return await self._inner.get(image_id)

    async def add(
        self, image: Image, *, intent: UploadIntent | None = None, claim: Claim | None = None
    ) -> None:
        with _audited("upload", image):
            await self._inner.add(image, intent=intent, claim=claim)

    async def update(self, before: Image, after: Image) -> None:
        with _audited("update", after):
            await self._inner.update(before, after)

    async def mark_deleted(self, image: Image, at: datetime) -> OutboxEntry:
        with _audited("delete", image):
            return await self._inner.mark_deleted(image, at)

    async def forget(self, deletion: Deletion) -> None:
        await self._inner.forget(deletion)


@contextmanager
def _audited(action: str, image: Image) -> Iterator[None]:
    try:
        yield
    except (OutcomeUnknown, asyncio.CancelledError):
        _write(action, image, "unknown")
        raise
    _write(action, image, "done")


def _write(action: str, image: Image, outcome: str) -> None:
    log.info(
        "audit",
        action=action,
        user_id=image.user_id,
        image_id=image.id,
        version=image.version,
        outcome=outcome,
    )
