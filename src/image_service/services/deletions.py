"""The first steps of a deletion, by the request that asked for it.

Files first, the edges after: the other way round an edge would fetch and cache them again.
The rest is for the worker, which puts the paths of many deletions into one invalidation.
Each step is safe to repeat, so that whoever finds the outbox entry can carry on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from image_service.domain.images import Deletion
from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.times import utc_now
from image_service.ports import ObjectStore, Outbox


class DeletionService:
    """`nudge` tells a worker nearby that there is something to do."""

    def __init__(
        self,
        *,
        objects: ObjectStore,
        outbox: Outbox,
        nudge: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._objects = objects
        self._outbox = outbox
        self._nudge = nudge
        self._now = now

    async def finish(self, deletion: Deletion) -> None:
        """Delete the files and hand the rest over. Raises DependencyUnavailable."""
        await self._objects.delete(deletion.object_keys)
        following = OutboxEntry.new(Clearing(Step.EDGES, (deletion,)), self._now())
        await self._outbox.replace([OutboxEntry.of(deletion)], following)
        self._nudge()
