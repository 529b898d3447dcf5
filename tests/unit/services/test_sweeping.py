from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

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

from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Deletion, Image
from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.renditions import RENDITIONS
from image_service.domain.uploads import UploadIntent
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import WATCHED, IntentSweeper
from image_service.services.worker import Worker

HOUR = timedelta(hours=1)


class Parts:
    def __init__(self) -> None:
        self.table = FakeTable()
        self.objects = FakeObjectStore()
        self.intents = FakeUploadIntents(self.table)
        self.repository = FakeImageRepository(self.table)
        self.outbox = FakeOutbox(self.table)
        self.cdn = FakeCdn()
        self.sweeper = IntentSweeper(intents=self.intents, objects=self.objects)

    def worker(self) -> Worker:
        """That always has time."""
        processor = OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=self.cdn,
            repository=self.repository,
            purge_cache=no_cache,
        )
        return Worker(
            processor=processor, sweeper=self.sweeper, poll=0.01, sweep_every=0.01, now=lambda: NOW
        )

    async def dead_upload(self, user_id: str = "alice") -> Image:
        """Its files are there, and then its task died."""
        image = make_image(user_id)
        await self.intents.announce(intent_of(image))
        for key in image.object_keys:
            self.objects.objects[key] = StoredObject(b"", "image/webp")
        return image


async def no_cache(user_id: str, image_id: str) -> None: ...


def intent_of(image: Image) -> UploadIntent:
    return UploadIntent(
        image_id=image.id,
        user_id=image.user_id,
        object_keys=image.object_keys,
        created_at=image.created_at,
    )


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_what_a_dead_task_left_is_removed(parts: Parts):
    for _ in range(3):
        await parts.dead_upload()
    assert await parts.sweeper.sweep(NOW) == 3
    assert (parts.table.intents, parts.objects.objects) == ({}, {})


async def test_the_young_are_left_alone(parts: Parts):
    await parts.dead_upload()
    assert await parts.sweeper.sweep(NOW - HOUR) == 0
    assert len(parts.objects.objects) == len(RENDITIONS)


async def test_the_worker_sweeps_what_is_an_hour_old_and_leaves_what_may_be_under_way(
    parts: Parts,
):
    young, old = await parts.dead_upload(), await parts.dead_upload()
    parts.table.intents[old.id] = replace(intent_of(old), created_at=NOW - HOUR)
    parts.table.intents[young.id] = replace(
        intent_of(young), created_at=NOW - HOUR + timedelta(seconds=1)
    )
    worker = parts.worker()
    worker.start()
    async with asyncio.timeout(60):
        while old.id in parts.table.intents:  # noqa: ASYNC110 # a plain dict can't be waited for
            await asyncio.sleep(0.01)
    await worker.aclose()
    assert set(parts.table.intents) == {young.id}
    assert set(parts.objects.objects) == set(young.object_keys)


@virtual_time.MARK
async def test_a_sweep_that_has_to_wait_holds_up_no_deletion(parts: Parts):
    old = await parts.dead_upload()
    parts.table.intents[old.id] = replace(intent_of(old), created_at=NOW - HOUR)
    sweeping, told, answer = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def silent(keys: tuple[str, ...]) -> None:
        sweeping.set()
        await answer.wait()

    async def invalidate(paths: list[str], reference: str) -> None:
        told.set()

    parts.objects.delete = silent  # type: ignore[method-assign] # S3 says nothing
    parts.cdn.invalidate = invalidate  # type: ignore[method-assign] # to wait for it
    worker = parts.worker()
    worker.start()
    async with asyncio.timeout(60):
        await sweeping.wait()
        work = Clearing(Step.CDN, (Deletion.of(make_image()),))
        await parts.outbox.add(OutboxEntry.new(work, NOW))
        await told.wait()
        answer.set()
        await worker.aclose()
    assert parts.objects.objects.keys() == set(old.object_keys)


async def test_a_live_image_keeps_its_files(parts: Parts):
    """Its announcement was repeated, and the repeat came after the commit."""
    image = await parts.dead_upload()
    await parts.repository.add(image, intent=intent_of(image))
    await parts.intents.announce(intent_of(image))
    assert await parts.sweeper.sweep(NOW) == 0
    assert set(parts.objects.objects) == set(image.object_keys)
    assert parts.table.intents == {}


async def test_a_sweep_that_fails_half_way_is_taken_up_again(parts: Parts):
    image = await parts.dead_upload()
    parts.objects.delete_failure = DependencyUnavailable()
    assert await parts.sweeper.sweep(NOW) == 0
    with pytest.raises(DependencyUnavailable):
        await parts.repository.add(image, intent=intent_of(image))
    parts.objects.delete_failure = None
    assert await parts.sweeper.sweep(NOW) == 1
    assert (parts.table.intents, parts.objects.objects) == ({}, {})


async def test_one_bad_intent_holds_nobody_up(parts: Parts):
    delete = parts.objects.delete

    async def picky(keys: tuple[str, ...]) -> None:
        if "mallory" in keys[0]:
            raise DependencyUnavailable
        await delete(keys)

    parts.objects.delete = picky  # type: ignore[method-assign] # fails for one image only
    bad = await parts.dead_upload("mallory")
    for _ in range(3):
        await parts.dead_upload("alice")
    assert await parts.sweeper.sweep(NOW) == 3
    assert set(parts.objects.objects) == set(bad.object_keys)


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(minutes=65), timedelta(days=1)])
async def test_no_clock_makes_a_live_upload_look_abandoned(parts: Parts, skew: timedelta):
    """Of the task that sweeps; or, the other way round, of the one that uploads."""
    ticks = 1000.0
    sweeper = IntentSweeper(
        intents=parts.intents, objects=parts.objects, watched=WATCHED, clock=lambda: ticks
    )
    image = await parts.dead_upload()
    for _ in range(3):
        assert await sweeper.sweep(NOW + skew) == 0
        ticks += WATCHED / 4
    assert set(parts.objects.objects) == set(image.object_keys)
    ticks += WATCHED / 4
    assert await sweeper.sweep(NOW + skew) == 1
    assert parts.objects.objects == {}


async def test_what_was_met_is_forgotten_once_it_is_committed(parts: Parts):
    sweeper = IntentSweeper(intents=parts.intents, objects=parts.objects, watched=WATCHED)
    image = await parts.dead_upload()
    await sweeper.sweep(NOW + HOUR)
    await parts.intents.forget(intent_of(image))
    await sweeper.sweep(NOW + HOUR)
    assert sweeper._watch._met == {}
