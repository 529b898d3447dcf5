"""Reports of the worker, the loop and the audit log to their observers."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import datetime

import pytest
from tests.fakes import (
    FakeCdn,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    FakeUploadIntents,
)
from tests.scraping import Samples
from tests.unit.builders import NOW, FakeProcessor, make_image

from image_service.domain.errors import DependencyUnavailable, InvalidImage, OutcomeUnknown
from image_service.domain.uploads import UploadIntent
from image_service.services.audit_trail import AuditedRepository
from image_service.services.outbox import OutboxProcessor
from image_service.services.pictures import TimedProcessor
from image_service.services.sweeping import IntentSweeper
from image_service.services.worker import Worker
from image_service.telemetry.loop_lag import watched_loop
from image_service.telemetry.observers import Backlog, Nobody, WorkerObserver
from image_service.telemetry.prometheus import PrometheusMetrics


class Notes(Nobody):
    def __init__(self) -> None:
        self.rounds = 0
        self.backlogs: list[Backlog] = []
        self.orphans = 0
        self.lags: list[float] = []
        self.stages: list[str] = []

    def round_ended(self) -> None:
        self.rounds += 1

    def backlog(self, backlog: Backlog) -> None:
        self.backlogs.append(backlog)

    def swept(self, orphans: int) -> None:
        self.orphans += orphans

    def loop_lagged(self, seconds: float) -> None:
        self.lags.append(seconds)

    def processed(self, stage: str, seconds: float) -> None:
        self.stages.append(stage)


class Probe:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked = 0

    async def measure(self, now: datetime) -> Backlog:
        self.asked += 1
        if self.failure:
            raise self.failure
        return Backlog(waiting=self.asked, oldest_age=1.5, set_aside=7)


@pytest.fixture
def notes() -> Notes:
    return Notes()


class Parts:
    def __init__(self, observer: WorkerObserver, *, measure_every: float) -> None:
        table = FakeTable()
        self.outbox, self.probe, self.objects = FakeOutbox(table), Probe(), FakeObjectStore()
        self.intents = FakeUploadIntents(table)

        async def no_cache(user_id: str, image_id: str) -> None: ...

        processor = OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=FakeCdn(),
            repository=FakeImageRepository(table),
            purge_cache=no_cache,
        )
        self.worker = Worker(
            processor=processor,
            sweeper=IntentSweeper(intents=self.intents, objects=self.objects),
            poll=0.01,
            sweep_every=0.02,
            backlog=self.probe,
            observer=observer,
            measure_every=measure_every,
        )


async def test_the_backlog_is_measured_at_once_and_then_seldom(notes: Notes):
    parts = Parts(notes, measure_every=60)
    parts.worker.start()
    await asyncio.sleep(0.2)
    await parts.worker.aclose()
    assert notes.rounds > 3
    assert notes.backlogs == [Backlog(waiting=1, oldest_age=1.5, set_aside=7)]


async def test_a_backlog_that_cannot_be_measured_stops_nothing(notes: Notes):
    parts = Parts(notes, measure_every=0.01)
    parts.probe.failure = DependencyUnavailable()
    parts.worker.start()
    await asyncio.sleep(0.1)
    assert (notes.rounds > 1, notes.backlogs) == (True, [])
    parts.probe.failure = None
    await asyncio.sleep(0.1)
    await parts.worker.aclose()
    assert notes.backlogs


async def test_a_round_that_failed_is_none(notes: Notes):
    parts = Parts(notes, measure_every=60)
    parts.outbox.failure = DependencyUnavailable()
    parts.worker.start()
    await asyncio.sleep(0.1)
    await parts.worker.aclose()
    assert notes.rounds == 0


async def test_what_the_worker_tells_is_what_a_scraper_reads():
    metrics = PrometheusMetrics({})

    def shown(name: str, **labels: str) -> float:
        return Samples(metrics.render("")[0].decode())(name, **labels)

    parts = Parts(metrics.observers.worker, measure_every=0.01)
    parts.probe.failure = DependencyUnavailable()
    image = make_image("alice")
    await parts.intents.announce(
        UploadIntent(
            image_id=image.id, user_id="alice", object_keys=image.object_keys, created_at=NOW
        )
    )
    began = time.time()
    parts.worker.start()
    await asyncio.sleep(0.1)
    assert shown("outbox_last_round_timestamp_seconds") >= began
    assert shown("orphans_found_total", kind="upload") == 1
    # While it can't be measured, the time shows how old the figures are.
    assert (shown("outbox_measured_timestamp_seconds"), shown("outbox_set_aside")) == (0, 0)

    parts.probe.failure = None
    await asyncio.sleep(0.1)
    parts.probe.failure = DependencyUnavailable()
    await asyncio.sleep(0.02)
    assert shown("outbox_depth") > 1
    assert (shown("outbox_oldest_age_seconds"), shown("outbox_set_aside")) == (1.5, 7)
    measured_at = shown("outbox_measured_timestamp_seconds")
    assert measured_at >= began + 0.1
    await asyncio.sleep(0.05)
    await parts.worker.aclose()
    assert shown("outbox_measured_timestamp_seconds") == measured_at
    assert shown("outbox_last_round_timestamp_seconds") > measured_at


async def test_a_loop_that_is_held_up_shows(notes: Notes):
    async with watched_loop(notes, every=0.02):
        await asyncio.sleep(0.1)
        quiet = len(notes.lags)
        time.sleep(0.2)  # noqa: ASYNC251 - that is the fault
        await asyncio.sleep(0.05)
    assert quiet >= 1
    assert max(notes.lags[quiet:]) > 0.1
    told = len(notes.lags)
    await asyncio.sleep(0.05)
    assert len(notes.lags) == told


async def test_both_stages_are_timed_where_they_succeed(notes: Notes):
    inner = FakeProcessor()
    timed = TimedProcessor(inner, notes)
    source = await timed.inspect(b"picture")
    await timed.process(b"picture", source)
    assert notes.stages == ["header", "pixels"]
    inner.failure = InvalidImage()
    with pytest.raises(InvalidImage):
        await timed.inspect(b"no picture")
    assert notes.stages == ["header", "pixels"]


class Trail(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, dict)
        self.lines.append(json.loads(json.dumps(record.msg)))

    def facts(self) -> list[tuple[object, ...]]:
        names = ("event", "action", "user_id", "image_id", "version", "outcome")
        return [tuple(line[name] for name in names) for line in self.lines]


@pytest.fixture
def trail():
    handler = Trail()
    logger = logging.getLogger("image_service.audit")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


async def test_what_is_committed_is_written_down(trail: Trail):
    audited = AuditedRepository(FakeImageRepository())
    image = make_image("alice")
    edited = image.edited({"title": "private words"}, NOW)
    await audited.add(image)
    await audited.update(image, edited)
    assert await audited.get(image.id) == edited
    (gone,) = (await audited.mark_deleted(edited, NOW)).deletions
    await audited.forget(gone)
    assert trail.facts() == [
        ("audit", "upload", "alice", image.id, 1, "done"),
        ("audit", "update", "alice", image.id, 2, "done"),
        ("audit", "delete", "alice", image.id, 2, "done"),
    ]
    assert "private words" not in json.dumps(trail.lines)


async def test_what_may_have_been_committed_is_written_down_as_such(trail: Trail):
    inner = FakeImageRepository()
    audited = AuditedRepository(inner)
    image = make_image("alice")
    inner.failure = DependencyUnavailable()
    with pytest.raises(DependencyUnavailable):
        await audited.add(image)
    assert trail.facts() == []
    inner.failure = OutcomeUnknown()
    with pytest.raises(OutcomeUnknown):
        await audited.add(image)
    assert trail.facts() == [("audit", "upload", "alice", image.id, 1, "unknown")]


async def test_a_commit_that_a_deadline_cuts_short_is_written_down_as_unknown(trail: Trail):
    inner = FakeImageRepository()
    image = make_image("alice")
    await inner.add(image)
    asked = asyncio.Event()

    async def hangs(*_: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    inner.mark_deleted = hangs  # type: ignore[assignment, method-assign] # nobody answers
    deletion = asyncio.create_task(AuditedRepository(inner).mark_deleted(image, NOW))
    await asked.wait()
    deletion.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deletion
    assert trail.facts() == [("audit", "delete", "alice", image.id, 1, "unknown")]
