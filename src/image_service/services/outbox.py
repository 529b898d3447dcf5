"""Work after a commit: takes what is due, does it, and puts off what fails.

Deleted images go step by step: files deleted; paths of many put into one batch, which is
stored before the call, so that after a crash the same call is made again under the same
reference; then the records go; and of young images the files are looked for once more. Each
step is safe to repeat, so a lease that runs out while its holder still works does no harm.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from image_service.domain.errors import CdnBusy, CdnRefused, DependencyUnavailable
from image_service.domain.images import CdnUrls, Deletion
from image_service.domain.outbox import CachePurge, Clearing, Lease, OutboxEntry, OutboxQueue, Step
from image_service.domain.times import floor_to_milliseconds, format_timestamp, utc_now
from image_service.ports import Cdn, ImageRepository, ObjectStore, Outbox

log = structlog.stdlib.get_logger(__name__)

BATCH: Final = 90  # deletions an invalidation; as many as one transaction can swap
MAX_PATHS: Final = 1_000  # an invalidation, of the 3,000 paths that may be in progress
MAX_TRIES: Final = 40  # about 16 hours
LEASE: Final = timedelta(seconds=60)  # longer than any single call, its retries included
WATCHED: Final = 120.0  # seconds; much longer than S3 takes over a write that was given up

_CDN_AT_ONCE: Final = 4 * BATCH
_NOTES_AT_ONCE: Final = 20
_CALLS_AT_ONCE: Final = 10
_FIRST_DELAY: Final = 5.0  # seconds
_LONGEST_DELAY: Final = 30 * 60.0
_CDN_COOLDOWN: Final = 60.0  # an invalidation takes about a minute
_CACHE_COOLDOWN: Final = 30.0
_MET_SECONDS: Final = 3600.0

T = TypeVar("T")
PurgeCache = Callable[[str, str], Awaitable[None]]
"""Has the cache forget a user's image; raises where it could not."""


class OutboxProcessor:
    """One round at a time; any number of processors may work on one outbox.

    A second look at files waits until its entry has been known here for `watched` seconds: to a
    clock that is ahead it is due at once, before the late write that it is for.
    """

    def __init__(  # noqa: PLR0913 # two of them only tests pass
        self,
        *,
        outbox: Outbox,
        objects: ObjectStore,
        cdn: Cdn,
        repository: ImageRepository,
        purge_cache: PurgeCache,
        now: Callable[[], datetime] = utc_now,
        watched: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._objects = objects
        self._cdn = cdn
        self._repository = repository
        self._purge_cache = purge_cache
        self._now = now
        self._watched = watched
        self._clock = clock
        self._met: dict[str, float] = {}  # second looks: when, by entry
        self._cdn_cooldown = _Cooldown(_CDN_COOLDOWN, now)
        self._cache_cooldown = _Cooldown(_CACHE_COOLDOWN, now)

    async def round(self, due: datetime | None = None) -> int:
        """Do what is due, now or at `due`; how many entries were taken.

        The queues in turn, each for half a lease at most, and S3's last: it has most of the
        work, and may take half a minute to fail. Raises DependencyUnavailable.
        """
        due = due or self._now()
        taken = await self._invalidate_cdn(due)
        return taken + await self._purge_caches(due) + await self._delete_files(due)

    async def drain(self) -> None:
        """Rounds until nothing is left of what is due by now; traffic may go on meanwhile."""
        start = self._now()
        while await self.round(start):
            pass

    async def _invalidate_cdn(self, due: datetime) -> int:
        if self._cdn_cooldown.on:  # nothing is taken, so that what waits grows into full batches
            return 0
        lease = self._new_lease()
        entries = await self._outbox.take(OutboxQueue.CDN, lease, due, _CDN_AT_ONCE)
        stored = [[entry] for entry in entries if _is_batch(entry)]
        fresh = [entry for entry in entries if not _is_batch(entry)]
        for some in (*stored, *_batches(fresh)):
            # One by one: calls at once are what CloudFront throttles.
            if self._cdn_cooldown.on or self._is_late(lease):
                break  # what is left is free again when the lease is over
            batch = some[0] if _is_batch(some[0]) else await self._batched(some)
            if batch is not None:
                await self._guarded(batch, self._invalidate)
        return len(entries)

    async def _purge_caches(self, due: datetime) -> int:
        if self._cache_cooldown.on:
            return 0
        lease = self._new_lease()
        notes = await self._outbox.take(OutboxQueue.CACHE, lease, due, _NOTES_AT_ONCE)
        for note in notes:
            if self._cache_cooldown.on or self._is_late(lease):
                break
            await self._guarded(note, self._purge)
        return len(notes)

    async def _delete_files(self, due: datetime) -> int:
        """Taken as they are worked on: what S3 keeps waiting must not be held for long."""
        first, taken = self._new_lease(), 0
        while taken < BATCH and not self._is_late(first):
            lease = self._new_lease()
            entries = await self._outbox.take(OutboxQueue.FILES, lease, due, _CALLS_AT_ONCE)
            await _bounded(self._guarded(entry, self._clear_files) for entry in entries)
            taken += len(entries)
            if len(entries) < _CALLS_AT_ONCE:
                break
        return taken

    async def _purge(self, note: OutboxEntry) -> None:
        assert isinstance(note.work, CachePurge)  # noqa: S101 - for the type checker
        for image_id in sorted(note.work.image_ids):
            try:
                await self._purge_cache(note.work.user_id, image_id)
            except DependencyUnavailable:
                self._cache_cooldown.begin()
                raise
        await self._outbox.replace([note], None)

    async def _clear_files(self, entry: OutboxEntry) -> None:
        if isinstance(entry.work, Clearing) and entry.work.step is Step.AGAIN:
            if self._is_watched(entry):  # else it is free again when the lease is over
                await self._look_again(entry)
            return
        await self._objects.delete(entry.object_keys)
        # As old as it was, so that a drain that began before finishes it.
        following = OutboxEntry.new(Clearing(Step.CDN, entry.deletions), entry.due_at)
        await self._outbox.replace([entry], following)

    def _is_watched(self, entry: OutboxEntry) -> bool:
        now = self._clock()
        self._met = {met: at for met, at in self._met.items() if now < at + _MET_SECONDS}
        return now >= self._met.setdefault(entry.id, now) + self._watched

    async def _look_again(self, entry: OutboxEntry) -> None:
        """A file that came back goes as it did at first, and so is looked for once more."""
        there = await _bounded(map(self._objects.exists, entry.object_keys))
        back = {key for key, exists in zip(entry.object_keys, there, strict=True) if exists}
        found = tuple(
            deletion for deletion in entry.deletions if back.intersection(deletion.object_keys)
        )
        following = None
        if found:
            log.warning("deleted_files_came_back", images=len(found), files=len(back))
            following = OutboxEntry.new(Clearing(Step.OBJECTS, found), self._now())
        await self._outbox.replace([entry], following)

    async def _batched(self, entries: Sequence[OutboxEntry]) -> OutboxEntry | None:
        """All their paths under one reference, written down before it is used."""
        deletions = tuple(deletion for entry in entries for deletion in entry.deletions)
        work = Clearing(Step.PURGE, deletions)
        due = max(entry.due_at for entry in entries)
        batch = OutboxEntry.new(work, due, entries[0].lease)
        with bound_contextvars(entry=batch.id):
            try:
                return batch if await self._outbox.replace(entries, batch) else None
            except DependencyUnavailable:  # whichever of them is there now is taken again
                log.warning("outbox_batch_failed", entries=len(entries), exc_info=True)
                return None

    async def _invalidate(self, batch: OutboxEntry) -> None:
        refusal: CdnRefused | None = None
        refused: list[Deletion] = []
        try:
            await self._cdn.invalidate(_paths(batch.deletions), batch.id)
        except CdnRefused as failure:
            if len(batch.deletions) == 1:
                raise
            refusal, refused = failure, await self._refused_singly(batch)
        done = [one for one in batch.deletions if not (one in refused or one.image_lives)]
        await _bounded(self._repository.forget(deletion) for deletion in done)
        again = OutboxEntry.second_look(done, self._now())
        if refusal and refused:
            if again is not None:  # first, so that none is lost; two of them do no harm
                await self._outbox.add(again)
            await self._failed(batch, refusal, Clearing(Step.PURGE, tuple(refused)))
        else:
            await self._outbox.replace([batch], again)

    async def _refused_singly(self, batch: OutboxEntry) -> list[Deletion]:
        """Those that are refused, after one call for each: they must not keep the others back."""
        refused = []
        for deletion in batch.deletions:
            try:
                await self._cdn.invalidate(_paths([deletion]), f"{batch.id}-{deletion.image_id}")
            except CdnRefused:
                refused.append(deletion)
        return refused

    async def _guarded(
        self, entry: OutboxEntry, step: Callable[[OutboxEntry], Awaitable[T]]
    ) -> T | None:
        """Whatever fails, a bug included, is put off and delays no other entry."""
        with bound_contextvars(entry=entry.id):
            try:
                return await step(entry)
            except CdnBusy as busy:
                until = self._cdn_cooldown.begin()
                log.warning(
                    "cdn_busy",
                    rests_until=format_timestamp(until),
                    waited_s=self._waited(entry),
                    cause=busy,
                )
                await self._put_off(entry, entry.tries, until, busy)
            except Exception as failure:  # noqa: BLE001 - logged there
                await self._failed(entry, failure)
        return None

    async def _failed(
        self, entry: OutboxEntry, failure: Exception, left: Clearing | None = None
    ) -> None:
        expected = isinstance(failure, DependencyUnavailable)  # logged where it was translated
        tries = entry.tries + 1
        log.warning(
            "outbox_entry_failed",
            tries=tries,
            waited_s=self._waited(entry),
            cause=failure,
            exc_info=not expected,
        )
        await self._put_off(entry, tries, self._backed_off(entry), failure, left)

    async def _put_off(
        self,
        entry: OutboxEntry,
        tries: int,
        until: datetime,
        cause: Exception,
        left: Clearing | None = None,
    ) -> None:
        """Come back to what is `left` of it, or to all."""
        due = floor_to_milliseconds(until)
        later = replace(entry, due_at=due, tries=tries, lease=None, work=left or entry.work)
        try:
            if tries < MAX_TRIES:
                await self._outbox.replace([entry], later)
            elif await self._outbox.give_up(replace(entry, tries=tries)):
                log.error("outbox_entry_set_aside", work=repr(entry.work), cause=cause)
        except DependencyUnavailable:  # its lease will run out
            log.warning("outbox_entry_not_put_off", exc_info=True)

    def _backed_off(self, entry: OutboxEntry) -> datetime:
        seconds = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**entry.tries) * _jitter()
        return self._now() + timedelta(seconds=seconds)

    def _waited(self, entry: OutboxEntry) -> int:
        """Seconds since it was written, for the alarm that reads the log."""
        return max(0, int((self._now() - entry.written_at).total_seconds()))

    def _new_lease(self) -> Lease:
        return Lease(str(uuid.uuid4()), self._now() + LEASE)

    def _is_late(self, lease: Lease) -> bool:
        """Half of it is for what was begun to end in."""
        return self._now() >= lease.until - LEASE / 2


class _Cooldown:
    """The time for which a system that takes no more, or does not respond, is left alone."""

    def __init__(self, seconds: float, now: Callable[[], datetime]) -> None:
        self._seconds = seconds
        self._now = now
        self._began: datetime | None = None
        self._until: datetime | None = None

    @property
    def on(self) -> bool:
        """A clock that was set back must not make it longer."""
        if self._began is None or self._until is None:
            return False
        return self._began <= self._now() < self._until

    def begin(self) -> datetime:
        """Only where it said so itself: a cooldown must not make itself longer. Its end."""
        self._began = self._now()
        self._until = self._began + timedelta(seconds=self._seconds * _jitter())
        return self._until


def _is_batch(entry: OutboxEntry) -> bool:
    return isinstance(entry.work, Clearing) and entry.work.step is Step.PURGE


def _batches(entries: Iterable[OutboxEntry]) -> Iterator[list[OutboxEntry]]:
    """As many to a batch as it may have of entries and of paths."""
    batch: list[OutboxEntry] = []
    paths = 0
    for entry in entries:
        count = len(entry.object_keys)
        if batch and (len(batch) == BATCH or paths + count > MAX_PATHS):
            yield batch
            batch, paths = [], 0
        batch.append(entry)
        paths += count
    if batch:
        yield batch


def _paths(deletions: Iterable[Deletion]) -> list[str]:
    return [CdnUrls.path(key) for deletion in deletions for key in deletion.object_keys]


def _jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311 # not a secret


async def _bounded(work: Iterable[Awaitable[T]]) -> list[T]:
    """All of it, ten at a time; the first failure is raised once all have ended."""
    gate = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def one(step: Awaitable[T]) -> T:
        async with gate:
            return await step

    results = await asyncio.gather(*map(one, work), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
