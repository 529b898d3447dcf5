"""Work after a commit: takes what is due, does it, and puts off what fails.

Deleted images go step by step: files deleted; paths of many put into one batch, which is
stored before the call, so that after a crash the same call is made again under the same
reference; then the records go. Each step is safe to repeat, so a lease that runs out while
its holder still works does no harm.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from image_service.domain.errors import CdnBusy, DependencyUnavailable
from image_service.domain.images import CdnUrls
from image_service.domain.outbox import CachePurge, Clearing, Lease, OutboxEntry, Step
from image_service.domain.times import floor_to_milliseconds, utc_now
from image_service.ports import Cdn, ImageRepository, ObjectStore, Outbox

log = structlog.stdlib.get_logger(__name__)

BATCH: Final = 90  # deletions an invalidation: 180 of the 3,000 paths that may be in progress
MAX_TRIES: Final = 40  # about 16 hours

_LEASE: Final = timedelta(seconds=60)
_TAKEN_AT_ONCE: Final = 4 * BATCH
_AT_ONCE: Final = 10
_FIRST_DELAY: Final = 5.0  # seconds
_LONGEST_DELAY: Final = 30 * 60.0
_CDN_PAUSE: Final = 60.0  # an invalidation takes about a minute

T = TypeVar("T")
PurgeCache = Callable[[str, str], Awaitable[None]]
"""Has the cache forget a user's image; raises where it could not."""


class OutboxProcessor:
    """One round at a time; any number of processors may work on one outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        objects: ObjectStore,
        cdn: Cdn,
        repository: ImageRepository,
        purge_cache: PurgeCache,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._outbox = outbox
        self._objects = objects
        self._cdn = cdn
        self._repository = repository
        self._purge_cache = purge_cache
        self._now = now
        self._cdn_rests_until: datetime | None = None
        self.set_aside = 0  # entries given up since the start

    async def round(self) -> int:
        """Do what is due; how many entries were taken. Raises DependencyUnavailable."""
        lease = Lease(str(uuid.uuid4()), self._now() + _LEASE)
        entries = await self._outbox.take(lease, self._now(), _TAKEN_AT_ONCE)
        purges = [entry for entry in entries if isinstance(entry.work, CachePurge)]
        await self._each(purges, self._purge)
        cleared = await self._each(_at(Step.OBJECTS, entries), self._delete_objects)
        waiting = [*_at(Step.EDGES, entries), *(entry for entry in cleared if entry)]
        batches = [
            await self._batched(waiting[start : start + BATCH])
            for start in range(0, len(waiting), BATCH)
        ]
        ready = [*_at(Step.PURGE, entries), *(batch for batch in batches if batch)]
        for batch in ready:  # one by one: calls at once are what CloudFront throttles
            await self._guarded(batch, self._drop_from_edges)
        return len(entries)

    async def drain(self) -> None:
        """Rounds until nothing is due."""
        while await self.round():
            pass

    async def _purge(self, entry: OutboxEntry) -> None:
        assert isinstance(entry.work, CachePurge)  # noqa: S101 - for the type checker
        await self._purge_cache(entry.work.user_id, entry.work.image_id)
        await self._outbox.replace([entry], None)

    async def _delete_objects(self, entry: OutboxEntry) -> OutboxEntry | None:
        work = _clearing(entry)
        keys = [key for gone in work.deletions for key in gone.object_keys]
        await self._objects.delete(keys)
        following = OutboxEntry.new(replace(work, step=Step.EDGES), self._now(), entry.lease)
        return following if await self._outbox.replace([entry], following) else None

    async def _batched(self, entries: Sequence[OutboxEntry]) -> OutboxEntry | None:
        """All their paths under one reference, written down before it is used."""
        deletions = tuple(gone for entry in entries for gone in _clearing(entry).deletions)
        batch = OutboxEntry.new(Clearing(Step.PURGE, deletions), self._now(), entries[0].lease)
        try:
            return batch if await self._outbox.replace(entries, batch) else None
        except DependencyUnavailable:  # whichever of them is there now is taken again
            log.warning("outbox_batch_failed", entries=len(entries), exc_info=True)
            return None

    async def _drop_from_edges(self, batch: OutboxEntry) -> None:
        if self._cdn_rests_until is not None and self._now() < self._cdn_rests_until:
            raise CdnBusy
        deletions = _clearing(batch).deletions
        paths = [CdnUrls.path(key) for gone in deletions for key in gone.object_keys]
        await self._cdn.invalidate(paths, batch.id)
        await _bounded(self._repository.forget(gone) for gone in deletions)
        await self._outbox.replace([batch], None)

    async def _each(
        self, entries: Iterable[OutboxEntry], step: Callable[[OutboxEntry], Awaitable[T]]
    ) -> list[T | None]:
        return await _bounded(self._guarded(entry, step) for entry in entries)

    async def _guarded(
        self, entry: OutboxEntry, step: Callable[[OutboxEntry], Awaitable[T]]
    ) -> T | None:
        """Whatever fails, a bug included, is put off and holds nobody up."""
        try:
            return await step(entry)
        except CdnBusy:
            self._cdn_rests_until = self._now() + timedelta(seconds=_CDN_PAUSE)
            await self._put_off(entry, entry.tries, _CDN_PAUSE * _jitter())
        except Exception as failure:
            log.warning(
                "outbox_entry_failed",
                entry=entry.id,
                tries=entry.tries + 1,
                exc_info=not isinstance(failure, DependencyUnavailable),
            )
            await self._put_off(entry, entry.tries + 1, _backoff(entry.tries))
        return None

    async def _put_off(self, entry: OutboxEntry, tries: int, seconds: float) -> None:
        later = replace(
            entry,
            due_at=floor_to_milliseconds(self._now() + timedelta(seconds=seconds)),
            tries=tries,
            lease=None,
        )
        try:
            if tries < MAX_TRIES:
                await self._outbox.replace([entry], later)
            elif await self._outbox.set_aside(replace(entry, tries=tries)):
                self.set_aside += 1
                log.error("outbox_entry_set_aside", entry=entry.id, work=repr(entry.work))
        except DependencyUnavailable:  # its lease will run out
            log.warning("outbox_entry_not_put_off", entry=entry.id, exc_info=True)


def _at(step: Step, entries: Iterable[OutboxEntry]) -> list[OutboxEntry]:
    return [
        entry for entry in entries if isinstance(entry.work, Clearing) and entry.work.step is step
    ]


def _clearing(entry: OutboxEntry) -> Clearing:
    assert isinstance(entry.work, Clearing)  # noqa: S101 - for the type checker
    return entry.work


def _backoff(tries: int) -> float:
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**tries) * _jitter()


def _jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311 # not a secret


async def _bounded(work: Iterable[Awaitable[T]]) -> list[T]:
    """All of it, ten at a time; the first failure is raised once all have ended."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(step: Awaitable[T]) -> T:
        async with gate:
            return await step

    results = await asyncio.gather(*map(one, work), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
