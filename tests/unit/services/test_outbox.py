from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from tests import virtual_time
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

from image_service.adapters.aws.clients import ATTEMPTS
from image_service.domain.errors import CdnBusy, CdnRefused, DependencyUnavailable
from image_service.domain.images import CdnUrls, Deletion
from image_service.domain.outbox import (
    LATE_WRITES,
    CachePurge,
    Clearing,
    Lease,
    OutboxEntry,
    OutboxQueue,
    Step,
)
from image_service.domain.renditions import RENDITIONS
from image_service.domain.time_limits import AWS_CONNECT
from image_service.services.outbox import (
    BATCH,
    LEASE,
    MAX_PATHS,
    MAX_TRIES,
    WATCHED,
    OutboxProcessor,
)
from image_service.services.sweeping import IntentSweeper
from image_service.services.worker import Worker

# Connecting and waiting for an answer, as often as botocore tries.
FILES = len(RENDITIONS)  # of an image
LONGEST_CALL = ATTEMPTS * (AWS_CONNECT + 10)


class Parts:
    def __init__(self) -> None:
        self.time = NOW + timedelta(days=2)  # the images are no longer young
        self.table = FakeTable()
        self.repository = FakeImageRepository(self.table)
        self.outbox = FakeOutbox(self.table)
        self.objects = FakeObjectStore()
        self.cdn = FakeCdn()
        self.purged: list[tuple[str, str]] = []
        self.cache_failure: Exception | None = None
        self.processor = self.new_processor()

    def new_processor(self, **options: Any) -> OutboxProcessor:
        return OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=self.cdn,
            repository=self.repository,
            purge_cache=self.purge,
            now=self.now,
            **options,
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
        await self.repository.mark_deleted(image, self.time - timedelta(seconds=30))
        return Deletion.of(image)

    async def deleted_files(self, user_id: str = "alice", *, renditions: int = 2) -> Deletion:
        """As the request leaves it: only the edges are still to be told."""
        image = make_image(user_id)
        keys = tuple(f"images/{user_id}/{image.id}/{n}.webp" for n in range(renditions))
        gone = replace(Deletion.of(image), object_keys=keys)
        self.table.deletions[image.id] = gone
        await self.outbox.add(OutboxEntry.new(Clearing(Step.CDN, (gone,)), self.time))
        return gone

    @property
    def entry(self) -> OutboxEntry:
        (entry,) = self.table.outbox.values()
        return entry

    async def cleared(self) -> None:
        async with asyncio.timeout(60):
            while self.table.outbox:  # noqa: ASYNC110 # a plain dict can't be waited for
                await asyncio.sleep(0.01)

    async def minutes_of_work(self, minutes: float) -> None:
        """A worker that looks every five seconds, while nothing else happens."""
        for _ in range(round(minutes * 12)):
            while await self.processor.round():
                pass
            self.time += timedelta(seconds=5)

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
    assert parts.cdn.invalidations == []
    assert await parts.processor.round() == 3
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
        await parts.deleted_files()
    assert await parts.processor.round() == 3 * BATCH + 1
    assert [len(purge.paths) for purge in parts.cdn.invalidations] == [2 * BATCH] * 3 + [2]
    assert parts.table.outbox == {}


async def test_a_backlog_of_files_makes_few_calls_too(parts: Parts):
    for _ in range(2 * BATCH):
        await parts.deleted()
    await parts.processor.drain()
    assert [len(purge.paths) for purge in parts.cdn.invalidations] == [FILES * BATCH] * 2
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})


async def test_an_invalidation_is_bounded_in_paths_however_many_renditions(parts: Parts):
    for _ in range(BATCH):
        await parts.deleted_files(renditions=40)
    await parts.processor.round()
    assert sum(len(purge.paths) for purge in parts.cdn.invalidations) == 40 * BATCH
    assert max(len(purge.paths) for purge in parts.cdn.invalidations) == MAX_PATHS
    assert len(parts.cdn.invalidations) == 4
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})


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
    await parts.processor.drain()
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
        await parts.processor.drain()
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
    await parts.deleted_files()
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
        await parts.deleted_files()
    await parts.minutes_of_work(0.6)
    assert calls == 1
    await parts.minutes_of_work(60)
    assert 40 < calls <= 120  # once a minute, and batches that come due between
    assert {entry.tries for entry in parts.table.outbox.values()} == {0}
    assert len(parts.table.deletions) == 2 * BATCH


@pytest.mark.parametrize("waiting", [1, 20 * BATCH])
async def test_a_cdn_that_was_busy_once_is_used_again(parts: Parts, waiting: int):
    """Deletions go on all the time, so that there is always one that comes due."""
    invalidate, calls = parts.cdn.invalidate, 0

    async def busy_once(paths: list[str], reference: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise CdnBusy
        await invalidate(paths, reference)

    parts.cdn.invalidate = busy_once  # type: ignore[method-assign] # other purges are under way
    for _ in range(waiting):
        await parts.deleted_files()
    for _ in range(12):
        await parts.deleted_files()
        await parts.minutes_of_work(0.25)
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})
    assert len(parts.cdn.invalidations) >= waiting // BATCH


async def test_a_resting_processor_leaves_what_waits_as_it_is(parts: Parts):
    parts.cdn.failure = CdnBusy()
    await parts.deleted_files()
    await parts.processor.round()
    later = [await parts.deleted_files() for _ in range(5)]
    before = dict(parts.table.outbox)
    await parts.minutes_of_work(0.6)
    assert parts.table.outbox == before
    parts.cdn.failure = None
    await parts.minutes_of_work(1)
    purged = [len(purge.paths) for purge in parts.cdn.invalidations]
    assert sorted(purged) == [2, 2 * len(later)]


async def test_a_path_that_is_refused_for_good_keeps_no_other_back(parts: Parts):
    invalidate = parts.cdn.invalidate

    async def picky(paths: list[str], reference: str) -> None:
        if any("mallory" in path for path in paths):
            raise CdnRefused
        await invalidate(paths, reference)

    parts.cdn.invalidate = picky  # type: ignore[method-assign] # for one image only
    for user_id in ("alice", "mallory", "bob"):
        await parts.deleted_files(user_id)
    await parts.processor.round()
    assert [gone.user_id for gone in parts.table.deletions.values()] == ["mallory"]
    assert (parts.entry.tries, [gone.user_id for gone in parts.entry.deletions]) == (1, ["mallory"])
    assert len(parts.cdn.invalidations) == 2
    await parts.rounds_until_empty()
    (dead_letter,) = parts.table.dead_letters.values()
    assert [gone.user_id for gone in dead_letter.deletions] == ["mallory"]


async def test_young_images_are_looked_for_again_beside_a_refused_path(parts: Parts):
    async def picky(paths: list[str], reference: str) -> None:
        if any("mallory" in path for path in paths):
            raise CdnRefused

    parts.time = NOW
    parts.cdn.invalidate = picky  # type: ignore[method-assign] # for one image only
    for user_id in ("alice", "mallory", "bob"):
        await parts.deleted_files(user_id)
    await parts.processor.round()
    left = {
        entry.work.step: [gone.user_id for gone in entry.deletions]
        for entry in parts.table.outbox.values()
        if isinstance(entry.work, Clearing)
    }
    assert left == {Step.PURGE: ["mallory"], Step.AGAIN: ["alice", "bob"]}


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=3)], ids=["right", "ahead"])
async def test_a_second_look_waits_by_a_clock_that_is_never_set(parts: Parts, ahead: timedelta):
    ticks = 0.0
    parts.time = NOW
    gone = await parts.deleted_files()
    processor = parts.new_processor(watched=WATCHED, clock=lambda: ticks)
    await processor.round()  # the edges are told
    parts.time += max(ahead, LATE_WRITES)
    await processor.round()
    parts.objects.objects[gone.object_keys[0]] = StoredObject(b"", "image/webp")  # late
    for _ in range(2):
        ticks += WATCHED / 2
        assert parts.objects.objects
        parts.time += LEASE
        await processor.round()
    assert isinstance(parts.entry.work, Clearing)
    assert parts.entry.work.step is Step.OBJECTS  # it was found, and goes as at first
    await processor.round()
    assert parts.objects.objects == {}


async def test_one_bad_entry_holds_nobody_up_and_is_set_aside(parts: Parts):
    delete = parts.objects.delete

    async def picky(keys: tuple[str, ...]) -> None:
        if "mallory" in keys[0]:
            raise RuntimeError("a bug")
        await delete(keys)

    parts.objects.delete = picky  # type: ignore[method-assign] # fails for one image only
    bad, good = await parts.deleted("mallory"), await parts.deleted("alice")
    await parts.processor.drain()
    assert set(parts.table.deletions) == {bad.image_id}
    assert good.image_id not in str(parts.table.outbox)
    parts.time += timedelta(hours=1)
    assert await parts.rounds_until_empty() == MAX_TRIES - 1
    (dead_letter,) = parts.table.dead_letters.values()
    assert isinstance(dead_letter.work, Clearing)
    assert dead_letter.work.deletions[0].image_id == bad.image_id
    assert (dead_letter.tries, set(parts.table.deletions)) == (MAX_TRIES, {bad.image_id})


async def test_a_cache_is_purged_until_it_answers(parts: Parts):
    parts.cache_failure = DependencyUnavailable()
    for image_id in ("b", "a"):
        await parts.outbox.add_cache_purge("alice", image_id, NOW)
    await parts.processor.round()
    assert parts.entry.work == CachePurge("alice", frozenset("ab"))
    parts.cache_failure = None
    await parts.rounds_until_empty()
    assert parts.purged == [("alice", "a"), ("alice", "b")]


async def test_a_cache_that_is_down_is_asked_once_a_while_and_holds_up_no_deletion(parts: Parts):
    parts.cache_failure, asked = DependencyUnavailable(), 0

    async def counted(user_id: str, image_id: str) -> None:
        nonlocal asked
        asked += 1
        await purge(user_id, image_id)

    purge, parts.purge = parts.purge, counted  # type: ignore[method-assign] # to count
    parts.processor = parts.new_processor()
    for number in range(1_500):
        await parts.outbox.add_cache_purge(f"user-{number}", "image", NOW)
    await parts.deleted_files()
    await parts.processor.round()
    assert len(parts.cdn.invalidations) == 1
    await parts.minutes_of_work(5)
    assert asked <= 15
    parts.cache_failure = None
    await parts.minutes_of_work(10)
    assert len(parts.purged) == 1_500
    assert parts.table.outbox == {}


async def test_a_store_that_fails_while_putting_off_leaves_it_to_the_lease(parts: Parts):
    await parts.deleted()

    async def fails(*_: object) -> bool:
        raise DependencyUnavailable

    swap, parts.outbox.replace = parts.outbox.replace, fails  # type: ignore[method-assign]
    assert await parts.processor.round() == 1
    parts.outbox.replace = swap  # type: ignore[method-assign]
    parts.time += timedelta(seconds=61)
    assert await parts.processor.round() == 1
    await parts.processor.drain()
    assert parts.table.deletions == {}


async def test_two_processors_do_the_work_of_one(parts: Parts):
    for _ in range(2 * BATCH):
        await parts.deleted()
    for number in range(20):
        await parts.outbox.add_cache_purge(f"user-{number}", "image", NOW)
    await asyncio.gather(parts.processor.drain(), parts.new_processor().drain())
    paths = [path for purge in parts.cdn.invalidations for path in purge.paths]
    assert len(paths) == len(set(paths)) == FILES * 2 * BATCH
    assert len(parts.purged) == len(set(parts.purged)) == 20


async def test_an_entry_at_any_step_can_be_carried_on_with(parts: Parts):
    for step in Step:
        deletion = await parts.deleted()
        entry = parts.entry
        parts.table.outbox = {entry.id: replace(entry, work=Clearing(step, (deletion,)))}
        if step is not Step.OBJECTS:
            await parts.objects.delete(deletion.object_keys)
        if step is Step.AGAIN:
            await parts.repository.forget(deletion)
        await parts.processor.drain()
    assert (parts.table.deletions, parts.objects.objects) == ({}, {})
    assert len(parts.cdn.invalidations) == len(Step) - 1  # a look tells nobody


async def test_a_slow_store_of_files_holds_up_no_invalidation(parts: Parts):
    """S3 says nothing; a call is given up after its timeouts."""
    told: list[float] = []
    start, invalidate = parts.time, parts.cdn.invalidate

    async def hole(keys: list[str]) -> None:
        await asyncio.sleep(0)  # as many as are asked at once wait together
        parts.time = max(parts.time, asked + timedelta(seconds=LONGEST_CALL))
        raise DependencyUnavailable

    async def watched(paths: list[str], reference: str) -> None:
        told.append((parts.time - start).total_seconds())
        await invalidate(paths, reference)

    parts.objects.delete = hole  # type: ignore[method-assign] # its connections are swallowed
    parts.cdn.invalidate = watched  # type: ignore[method-assign] # to see when
    for _ in range(350):
        await parts.deleted()
    await parts.deleted_files()
    for _ in range(3):
        asked = parts.time
        assert await parts.processor.round() <= 11
        assert (parts.time - asked).total_seconds() <= LONGEST_CALL
        await parts.deleted_files()
    assert told == [0, LONGEST_CALL, 2 * LONGEST_CALL]
    held = [entry for entry in parts.table.outbox.values() if entry.lease is not None]
    assert held == []  # another task may take all that is not being worked on


async def test_a_lease_outlasts_the_longest_call(parts: Parts):
    free_in_the_meantime = []
    delete, invalidate = parts.objects.delete, parts.cdn.invalidate

    async def wait() -> None:
        parts.time += timedelta(seconds=LONGEST_CALL)
        for lane in OutboxQueue:
            lease = Lease("another's", parts.time)
            free_in_the_meantime.extend(await parts.outbox.take(lane, lease, parts.time, 10))

    async def slow_delete(keys: list[str]) -> None:
        await wait()
        await delete(keys)

    async def slow_invalidate(paths: list[str], reference: str) -> None:
        await wait()
        await invalidate(paths, reference)

    parts.objects.delete = slow_delete  # type: ignore[method-assign] # answers in the last moment
    parts.cdn.invalidate = slow_invalidate  # type: ignore[method-assign] # the same
    await parts.deleted()
    await parts.processor.round()
    await parts.processor.round()
    assert len(parts.cdn.invalidations) == 1
    assert free_in_the_meantime == []


async def test_a_slow_cdn_is_not_given_more_than_can_be_done_under_a_lease(parts: Parts):
    invalidate, lease_left = parts.cdn.invalidate, []

    async def slow(paths: list[str], reference: str) -> None:
        parts.time += timedelta(seconds=LONGEST_CALL)
        batch = parts.table.outbox[reference]
        lease_left.append(batch.lease is not None and batch.lease.until > parts.time)
        await invalidate(paths, reference)

    parts.cdn.invalidate = slow  # type: ignore[method-assign] # answers in the last moment
    for _ in range(4 * BATCH):
        await parts.deleted_files()
    await parts.minutes_of_work(5)
    assert lease_left == [True] * 4
    assert (parts.table.deletions, parts.table.outbox) == ({}, {})


async def test_a_drain_ends_while_deletions_go_on(parts: Parts):
    invalidate = parts.cdn.invalidate
    mine = [await parts.deleted() for _ in range(3)]

    async def meanwhile(paths: list[str], reference: str) -> None:
        parts.time += timedelta(seconds=1)
        await parts.deleted_files()
        await invalidate(paths, reference)

    parts.cdn.invalidate = meanwhile  # type: ignore[method-assign] # live traffic
    async with asyncio.timeout(60):
        await parts.processor.drain()
    assert not {gone.image_id for gone in mine} & parts.table.deletions.keys()
    assert len(parts.table.outbox) == 1


@virtual_time.MARK
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


class Counted:
    """A processor that counts its rounds; `work` of them find some."""

    def __init__(self, work: int = 0) -> None:
        self.rounds = 0
        self.work = work

    async def round(self) -> int:
        self.rounds += 1
        return int(self.rounds <= self.work)


@virtual_time.MARK
async def test_the_worker_looks_less_often_while_there_is_no_work(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
):
    waits: list[float] = []
    enough = asyncio.Event()

    async def at_once(_: Worker, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 9:
            enough.set()
        await asyncio.sleep(0)
        return len(waits) == 6

    monkeypatch.setattr(Worker, "_nudged_within", at_once)
    monkeypatch.setattr("image_service.services.worker._jitter", lambda: 1.0)
    sweeper = IntentSweeper(intents=FakeUploadIntents(parts.table), objects=parts.objects)
    worker = Worker(processor=cast("OutboxProcessor", Counted(work=2)), sweeper=sweeper)
    worker.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await worker.aclose()
    # A nudge, the sixth here, has it begin anew. At rest two rounds a minute, not twelve.
    assert waits[:9] == [5, 10, 20, 30, 30, 30, 5, 10, 20]


@virtual_time.MARK
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
