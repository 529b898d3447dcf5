"""The first steps of a deletion, by the request that asked for it.

Files first, the edges after: the other way round an edge would fetch and cache them again.
The rest is for the worker, which puts the paths of many deletions into one invalidation.
Each step is safe to repeat, so that whoever finds the outbox entry can carry on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from image_service.domain.errors import ImageServiceError
from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.times import utc_now
from image_service.ports import ObjectStore, Outbox

log = structlog.stdlib.get_logger(__name__)

_PATIENCE: Final = 2.0  # seconds a request waits for a store that is slow to delete


class DeletionService:
    """`nudge` tells a worker nearby that there is something to do."""

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

    async def finish(self, entry: OutboxEntry) -> None:
        """Delete the files and hand the rest over; return after `patience` at the latest.

        `entry` is the one that was written with the deletion. What fails, or takes longer,
        the worker does: it is still there.
        """
        task = asyncio.create_task(self._finish(entry))
        self._running.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=self._patience)

    async def aclose(self) -> None:
        """Leave what is still running to the worker of another task."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _finish(self, entry: OutboxEntry) -> None:
        try:
            await self._objects.delete(entry.object_keys)
            following = OutboxEntry.new(Clearing(Step.EDGES, entry.deletions), self._now())
            await self._outbox.replace([entry], following)
        except ImageServiceError:
            log.warning("deletion_unfinished", image_id=entry.route, exc_info=True)
        else:
            self._nudge()
