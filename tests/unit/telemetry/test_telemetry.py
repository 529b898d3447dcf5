"""Measurements of the worker, the loop and the work on pictures."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import pytest
from tests import virtual_time
from tests.fakes import (
    FakeCdn,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    FakeUploadIntents,
)
from tests.scraping import Samples
from tests.unit.builders import NOW, make_image

from image_service.domain.errors import DependencyUnavailable, InvalidImage
from image_service.domain.outbox import Backlog
from image_service.domain.uploads import UploadIntent
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import IntentSweeper
from image_service.services.worker import Worker
from image_service.telemetry.telemetry import Telemetry


class Probe:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked = 0

    async def measure(self, now: datetime) -> Backlog:
        self.asked += 1
        if self.failure:
            raise self.failure
        return Backlog(waiting=self.asked, oldest_age=1.5, dead_letters=7)


class Parts:
    def __init__(self, *, measure_every: float) -> None:
        table = FakeTable()
        self.telemetry = Telemetry()
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
            telemetry=self.telemetry,
            measure_every=measure_every,
        )

    def shown(self, name: str, **labels: str) -> float:
        return Samples.of(self.telemetry)(name, **labels)


@virtual_time.MARK
async def test_the_backlog_is_measured_at_once_and_then_seldom():
    parts = Parts(measure_every=60)
    began = time.time()
    parts.worker.start()
    await asyncio.sleep(0.2)
    await parts.worker.aclose()
    assert parts.probe.asked == 1
    assert parts.shown("outbox_depth") == 1
    assert parts.shown("outbox_last_round_timestamp_seconds") > began + 0.05


@virtual_time.MARK
async def test_a_round_that_failed_is_none():
    parts = Parts(measure_every=60)
    parts.outbox.failure = DependencyUnavailable()
    parts.worker.start()
    await asyncio.sleep(0.1)
    await parts.worker.aclose()
    assert parts.shown("outbox_last_round_timestamp_seconds") == 0


@virtual_time.MARK
async def test_a_backlog_that_cannot_be_measured_stops_nothing():
    parts = Parts(measure_every=0.01)
    shown = parts.shown
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


async def test_a_loop_that_is_held_up_shows():
    telemetry = Telemetry()

    def lags(least: float = 0.0) -> float:
        samples = Samples.of(telemetry)
        shorter = samples("event_loop_lag_seconds_bucket", le=str(least)) if least else 0
        return samples("event_loop_lag_seconds_count") - shorter

    async with telemetry.watching_loop(every=0.02):
        await asyncio.sleep(0.1)
        quiet = lags()
        time.sleep(0.2)  # noqa: ASYNC251 - that is the fault
        await asyncio.sleep(0.05)
    assert quiet >= 1
    assert lags(least=0.1) >= 1
    measured = lags()
    await asyncio.sleep(0.05)
    assert lags() == measured


@pytest.mark.parametrize("part", ["queue", "header", "pixels"])
def test_what_fails_is_not_counted_among_what_took_so_long(part: str):
    telemetry = Telemetry()

    def counted() -> float:
        samples = Samples.of(telemetry)
        if part == "queue":
            return samples("queue_wait_seconds_count")
        return samples("processing_seconds_count", stage=part)

    def passes(failure: Exception | None = None) -> None:
        with telemetry.part(part):
            if failure:
                raise failure

    with pytest.raises(InvalidImage):
        passes(InvalidImage())
    assert counted() == 0
    passes()
    assert counted() == 1
