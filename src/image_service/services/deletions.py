"""The first steps of a deletion, by the request that asked for it.

Files first, the CDN after: the other way round an edge would fetch and cache them again.
The rest is for the worker, which puts the paths of many deletions into one invalidation.
Each step is safe to repeat, so that whoever finds the outbox entry can carry on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.times import utc_now
from image_service.ports import ObjectStore, Outbox

log = structlog.stdlib.get_logger(__name__)

_AT_ONCE: Final = 20  # of the connections to S3; most are for uploads
_PATIENCE: Final = 1.0  # seconds that what is under way is given at the end


class DeletionService:
    """`nudge` wakes a worker nearby."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        outbox: Outbox,
        nudge: Callable[[], None] = lambda: None,
        patience: float = _PATIENCE,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._objects = objects
        self._outbox = outbox
        self._nudge = nudge
        self._patience = patience
        self._now = now
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, entry: OutboxEntry) -> None:
        """Have `finish` done behind the response, which need not wait for S3.

        With much of it under way already, the worker does it: the entry is there.
        """
        if len(self._running) < _AT_ONCE:
            task = asyncio.create_task(self.finish(entry))
            self._running.add(task)  # the loop itself keeps only a weak reference
            task.add_done_callback(self._running.discard)

    async def finish(self, entry: OutboxEntry) -> None:
        """Delete the files and hand the rest over.

        `entry` is the one that was written with the deletion. What fails, the worker does
        again: the entry is still there.
        """
        with bound_contextvars(entry=entry.id):
            try:
                await self._objects.delete(entry.object_keys)
                following = OutboxEntry.new(Clearing(Step.CDN, entry.deletions), self._now())
                await self._outbox.replace([entry], following)
            except Exception:  # no request waits for it
                log.warning("deletion_unfinished", image_id=entry.route, exc_info=True)
            else:
                self._nudge()

    async def aclose(self) -> None:
        """Leave what `patience` seconds do not end to the worker of another task."""
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=self._patience)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
