"""Reports of the worker and the loop to their observers."""

from __future__ import annotations

import asyncio
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

from image_service.domain.errors import DependencyUnavailable, InvalidImage
from image_service.domain.uploads import UploadIntent
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
