from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from tests.fakes import (
    FakeCdn,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    FakeUploadIntents,
    StoredObject,
)
from tests.unit.builders import NOW, make_image

from image_service.domain.errors import CdnBusy, DependencyUnavailable
from image_service.domain.images import CdnUrls, Deletion
from image_service.domain.outbox import CachePurge, Clearing, OutboxEntry, Step
from image_service.services.outbox import BATCH, MAX_TRIES, OutboxProcessor
from image_service.services.sweeping import IntentSweeper
from image_service.services.worker import Worker


class Parts:
    def __init__(self) -> None:
        self.time = NOW
        self.table = FakeTable()
        self.repository = FakeImageRepository(self.table)
        self.outbox = FakeOutbox(self.table)
        self.objects = FakeObjectStore()
        self.cdn = FakeCdn()
        self.purged: list[tuple[str, str]] = []
        self.cache_failure: Exception | None = None
        self.processor = self.new_processor()

    def new_processor(self) -> OutboxProcessor:
        return OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=self.cdn,
            repository=self.repository,
            purge_cache=self.purge,
            now=self.now,
        )

    def now(self) -> datetime:
        return self.time

    async def purge(self, user_id: str, image_id: str) -> None:
        if self.cache_failure:
            raise self.cache_failure
        self.purged.append((user_id, image_id))

    async def deleted(self, user_id: str = "alice") -> Deletion:
        image = make_image(user_id)
        self.table.images[image.id] = image
        for key in image.object_keys:
            self.objects.objects[key] = StoredObject(b"", "image/webp")
        return await self.repository.mark_deleted(image, NOW - timedelta(seconds=30))

    @property
    def entry(self) -> OutboxEntry:
        (entry,) = self.table.outbox.values()
        return entry

    async def cleared(self) -> None:
        async with asyncio.timeout(5):
            while self.table.outbox:  # noqa: ASYNC110 # a plain dict can't be waited for
                await asyncio.sleep(0.01)

    async def rounds_until_empty(self) -> int:
        for number in range(200):
            if not self.table.outbox:
                return number
            await self.processor.round()
            self.time += timedelta(minutes=40)
        raise AssertionError("it never ends")


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_deleted_images_leave_files_then_edges_then_records(parts: Parts):
    deletions = [await parts.deleted("al|ce") for _ in range(3)]
    assert await parts.processor.round() == 3
    assert parts.objects.objects == {}
    (purge,) = parts.cdn.invalidations
    wanted = [CdnUrls.path(key) for gone in deletions for key in gone.object_keys]
    assert sorted(purge.paths) == sorted(wanted)
    assert all(path.startswith("/images/al%7Cce/") for path in purge.paths)
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})


async def test_what_is_not_due_waits(parts: Parts):
    await parts.deleted()
    parts.time -= timedelta(milliseconds=1)
    assert await parts.processor.round() == 0
    parts.time += timedelta(milliseconds=1)
    assert await parts.processor.round() == 1


async def test_many_deletions_make_few_calls(parts: Parts):
    for _ in range(3 * BATCH + 1):
        await parts.deleted()
    assert await parts.processor.round() == 3 * BATCH + 1
    assert [len(purge.paths) for purge in parts.cdn.invalidations] == [2 * BATCH] * 3 + [2]
    assert parts.table.outbox == {}


async def test_no_path_is_purged_while_its_file_is_there(parts: Parts):
    parts.objects.delete_failure = DependencyUnavailable()
    await parts.deleted()
    await parts.processor.round()
    assert parts.cdn.invalidations == []
    assert len(parts.table.deletions) == 1
    parts.objects.delete_failure = None
    await parts.rounds_until_empty()
    assert len(parts.cdn.invalidations) == 1


async def test_a_call_whose_answer_was_lost_is_made_again_and_counts_once(parts: Parts):
    invalidate, failing = parts.cdn.invalidate, True

    async def lost(paths: list[str], reference: str) -> None:
        await invalidate(paths, reference)
        if failing:
            raise DependencyUnavailable

    parts.cdn.invalidate = lost  # type: ignore[method-assign] # carried out, but unanswered
    await parts.deleted()
    await parts.processor.round()
    await parts.deleted()  # must not slip into the batch that has its reference already
    failing = False
    await parts.rounds_until_empty()
    assert len(parts.cdn.invalidations) == 2
    assert parts.table.deletions == {}


async def test_a_batch_survives_whoever_made_it(parts: Parts):
    class Killed(BaseException):
        pass

    async def killed(paths: list[str], reference: str) -> None:
        raise Killed

    await parts.deleted()
    invalidate, parts.cdn.invalidate = parts.cdn.invalidate, killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await parts.processor.round()
    batch = parts.entry
    parts.cdn.invalidate = invalidate  # type: ignore[method-assign]
    heir = parts.new_processor()
    assert await heir.round() == 0  # until the lease of the dead is over
    parts.time += timedelta(seconds=61)
    assert await heir.round() == 1
    (purge,) = parts.cdn.invalidations
    assert purge.reference == batch.id
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})


async def test_a_failure_comes_back_later_and_later(parts: Parts):
    parts.cdn.failure = DependencyUnavailable()
    await parts.deleted()
    delays = []
    for tries in range(1, 12):
        await parts.processor.round()
        assert parts.entry.tries == tries
        assert await parts.processor.round() == 0
        delays.append((parts.entry.due_at - parts.time).total_seconds())
        parts.time = parts.entry.due_at
    assert 3 < delays[0] < 7
    assert all(later > 1.1 * sooner for sooner, later in pairwise(delays[:8]))
    assert all(1_300 < delay < 2_300 for delay in delays[9:])


async def test_a_busy_cdn_is_left_alone_and_costs_no_tries(parts: Parts):
    calls = 0

    async def busy(paths: list[str], reference: str) -> None:
        nonlocal calls
        calls += 1
        raise CdnBusy

    parts.cdn.invalidate = busy  # type: ignore[method-assign] # too much in progress
    for _ in range(2 * BATCH):
        await parts.deleted()
    await parts.processor.round()
    assert calls == 1
    assert [entry.tries for entry in parts.table.outbox.values()] == [0, 0]
    assert min(e.due_at for e in parts.table.outbox.values()) > NOW + timedelta(seconds=30)


async def test_one_bad_entry_holds_nobody_up_and_is_set_aside(parts: Parts):
    delete = parts.objects.delete

    async def picky(keys: tuple[str, ...]) -> None:
        if "mallory" in keys[0]:
            raise RuntimeError("a bug")
        await delete(keys)

    parts.objects.delete = picky  # type: ignore[method-assign] # fails for one image only
    bad, good = await parts.deleted("mallory"), await parts.deleted("alice")
    await parts.processor.round()
    assert set(parts.table.deletions) == {bad.image_id}
    assert good.image_id not in str(parts.table.outbox)
    parts.time += timedelta(hours=1)
    assert await parts.rounds_until_empty() == MAX_TRIES - 1
    assert parts.processor.set_aside == 1
    (aside,) = parts.table.aside.values()
    assert isinstance(aside.work, Clearing)
    assert aside.work.deletions[0].image_id == bad.image_id
    assert (aside.tries, set(parts.table.deletions)) == (MAX_TRIES, {bad.image_id})


async def test_a_cache_is_purged_until_it_answers(parts: Parts):
    parts.cache_failure = DependencyUnavailable()
    await parts.outbox.add_cache_purge("alice", "image", NOW)
    await parts.processor.round()
    assert parts.entry.work == CachePurge("alice", "image")
    parts.cache_failure = None
    await parts.rounds_until_empty()
    assert parts.purged == [("alice", "image")]


async def test_a_store_that_fails_while_putting_off_leaves_it_to_the_lease(parts: Parts):
    await parts.deleted()

    async def fails(*_: object) -> bool:
        raise DependencyUnavailable

    swap, parts.outbox.replace = parts.outbox.replace, fails  # type: ignore[method-assign]
    assert await parts.processor.round() == 1
    parts.outbox.replace = swap  # type: ignore[method-assign]
    parts.time += timedelta(seconds=61)
    assert await parts.processor.round() == 1
    assert parts.table.deletions == {}


async def test_two_processors_do_the_work_of_one(parts: Parts):
    for _ in range(2 * BATCH):
        await parts.deleted()
    for number in range(20):
        await parts.outbox.add_cache_purge("alice", f"{number}", NOW)
    await asyncio.gather(parts.processor.round(), parts.new_processor().round())
    paths = [path for purge in parts.cdn.invalidations for path in purge.paths]
    assert len(paths) == len(set(paths)) == 4 * BATCH
    assert len(parts.purged) == len(set(parts.purged)) == 20


async def test_an_entry_at_any_step_can_be_carried_on_with(parts: Parts):
    for step in Step:
        deletion = await parts.deleted()
        entry = OutboxEntry.of(deletion)
        parts.table.outbox = {entry.id: replace(entry, work=Clearing(step, (deletion,)))}
        if step is not Step.OBJECTS:
            await parts.objects.delete(deletion.object_keys)
        await parts.processor.drain()
    assert (parts.table.deletions, parts.objects.objects) == ({}, {})
    assert len(parts.cdn.invalidations) == len(Step)


async def test_the_worker_hurries_when_nudged_and_stops(parts: Parts):
    sweeper = IntentSweeper(intents=FakeUploadIntents(parts.table), objects=parts.objects)
    worker = Worker(processor=parts.processor, sweeper=sweeper, poll=60)
    worker.start()
    await asyncio.sleep(0.05)
    await parts.deleted()
    worker.nudge()
    await parts.cleared()
    await worker.aclose()
    await parts.deleted()
    await asyncio.sleep(0.3)
    assert len(parts.table.outbox) == 1


async def test_the_worker_outlives_a_store_that_is_down(parts: Parts):
    sweeper = IntentSweeper(intents=FakeUploadIntents(parts.table), objects=parts.objects)
    worker = Worker(processor=parts.processor, sweeper=sweeper, poll=0.02, sweep_every=0.02)
    parts.outbox.failure = DependencyUnavailable()
    await parts.deleted()
    worker.start()
    await asyncio.sleep(0.1)
    parts.outbox.failure = None
    await parts.cleared()
    await worker.aclose()
