"""Faults planted in a table and a bucket, found and mended."""

from __future__ import annotations

import asyncio
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.samples import make_image
from tests.integration.table import Table
from tests.integration.world import DAY, World
from tests.unit.builders import NEW, caller

from image_service.adapters.dynamodb.items import to_wire
from image_service.devstack.aws import create_table
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Image
from image_service.domain.outbox import Lease, OutboxQueue
from image_service.domain.renditions import RENDITIONS
from image_service.domain.times import utc_now
from image_service.domain.uploads import UploadIntent
from image_service.tools.reconcile.findings import FindingKind
from image_service.tools.reconcile.reconciler import (
    Options,
    Reconciler,
    Reconciliation,
    TooManyOrphans,
)

FILES = len(RENDITIONS)  # of an image
USER = "auth0|a.b@c:d"


async def set_item(world: World, partition: str, sort: str, **values: Any) -> None:
    item = await world.table.item(partition, sort)
    await world.table.client.put_item(
        TableName=world.table.name, Item=to_wire({**item, "PK": partition, "SK": sort, **values})
    )


async def drop_item(world: World, partition: str, sort: str) -> None:
    await world.table.client.delete_item(
        TableName=world.table.name, Key=to_wire({"PK": partition, "SK": sort})
    )


async def pointer_of(world: World, image: Image, tag: str) -> dict[str, Any]:
    pointers = await world.table.partition(f"TAG#{image.user_id}#{tag}")
    return next(pointer for pointer in pointers if pointer["id"] == image.id)


async def plant_old_intent(world: World, image: Image) -> None:
    dead = make_image(USER, at=utc_now() - timedelta(minutes=30))
    await world.intents.announce(
        UploadIntent(
            image_id=dead.id,
            user_id=USER,
            object_keys=dead.object_keys,
            created_at=dead.created_at,
        )
    )
    await world.objects.put(dead.main.key, b"dead", "image/webp")


async def plant_orphaned_file(world: World, image: Image) -> None:
    orphan = make_image(USER, at=utc_now())
    for key in orphan.object_keys:
        await world.objects.put(key, b"orphan", "image/webp")


async def plant_missing_file(world: World, image: Image) -> None:
    await world.objects.delete([image.thumbnail.key])


async def plant_stuck_deletion(world: World, image: Image) -> None:
    entry = await world.repository.mark_deleted(image, utc_now())
    assert await world.outbox.replace([entry], None)


async def plant_entry_set_aside(world: World, image: Image) -> None:
    await world.outbox.add_cache_purge(USER, image.id, utc_now())
    lease = Lease("planter", utc_now() + timedelta(minutes=1))
    (entry,) = await world.outbox.take(OutboxQueue.CACHE, lease, utc_now() + DAY, 10)
    assert await world.outbox.give_up(entry)


async def plant_wrong_counters(world: World, image: Image) -> None:
    await set_item(world, f"USER#{USER}", "USAGE", imageCount=7)
    await set_item(world, f"USER#{USER}", "USAGE#ALBUM#castles", totalBytes=1)


async def plant_missing_counters(world: World, image: Image) -> None:
    await drop_item(world, f"USER#{USER}", "USAGE")
    await drop_item(world, f"USER#{USER}", "USAGE#ALBUM#castles")


async def plant_counter_of_nothing(world: World, image: Image) -> None:
    for partition, sort in ((f"USER#{USER}-2", "USAGE"), (f"USER#{USER}", "USAGE#ALBUM#gone")):
        usage = {"type": "usage", "schemaVersion": 1, "imageCount": 2, "totalBytes": 50}
        await set_item(world, partition, sort, **usage)


async def plant_missing_pointer(world: World, image: Image) -> None:
    pointer = await pointer_of(world, image, "castle")
    await drop_item(world, pointer["PK"], pointer["SK"])


async def plant_stale_pointer(world: World, image: Image) -> None:
    pointer = await pointer_of(world, image, "castle")
    await set_item(world, pointer["PK"], pointer["SK"], albumId="elsewhere")


async def plant_pointer_by_an_old_key(world: World, image: Image) -> None:
    """As written before keys left out what is invisible."""
    pointer = await pointer_of(world, image, "castle")
    values = {name: value for name, value in pointer.items() if name not in {"PK", "SK"}}
    await set_item(world, f"TAG#{USER}#cas\u200btle", pointer["SK"], **values)
    await drop_item(world, pointer["PK"], pointer["SK"])


async def plant_orphaned_pointers(world: World, image: Image) -> None:
    pointer = await pointer_of(world, image, "castle")
    await set_item(world, f"TAG#{USER}#no such#tag", pointer["SK"], type="tag", tags=["x"], id="x")
    unknown = pointer["SK"][: -len(image.id)] + make_image(USER).id
    await set_item(world, pointer["PK"], unknown, type="tag", tags=["castle"], id="x")


PLANTS = {
    plant_old_intent: {FindingKind.OLD_INTENT: 1},
    plant_orphaned_file: {FindingKind.ORPHANED_FILE: FILES},
    plant_stuck_deletion: {FindingKind.STUCK_DELETION: 1},
    plant_entry_set_aside: {FindingKind.SET_ASIDE: 1},
    plant_wrong_counters: {FindingKind.WRONG_COUNTER: 2},
    plant_missing_counters: {FindingKind.WRONG_COUNTER: 2},
    plant_counter_of_nothing: {FindingKind.WRONG_COUNTER: 2},
    plant_missing_pointer: {FindingKind.MISSING_POINTER: 1},
    plant_stale_pointer: {FindingKind.STALE_POINTER: 1},
    plant_pointer_by_an_old_key: {FindingKind.MISSING_POINTER: 1, FindingKind.ORPHANED_POINTER: 1},
    plant_orphaned_pointers: {FindingKind.ORPHANED_POINTER: 2},
}


async def two_images(world: World) -> tuple[Image, Image]:
    return (
        await world.upload(USER, album_id="castles", tags=("Castle", "moat")),
        await world.upload(USER, tags=("gate",)),
    )


def counts(state: Reconciliation) -> dict[FindingKind, int]:
    return dict(+state.found)


async def test_a_sound_world_is_clean(world: World) -> None:
    kept, gone = await two_images(world)
    await world.delete(gone)
    world.ahead = DAY
    await world.processor.drain()

    state = await world.reconcile()

    assert (counts(state), state.clean, state.done) == ({}, True, True)
    assert await world.files() == set(kept.object_keys)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_a_planted_fault_is_found_and_mended(world: World, plant: Any) -> None:
    image, other = await two_images(world)
    await plant(world, image)
    before = await world.items(), await world.files()

    looked = await world.reconcile()
    assert counts(looked) == PLANTS[plant]
    assert not looked.clean
    assert (await world.items(), await world.files()) == before  # nothing touched

    repaired = await world.reconcile(fix=True)
    assert counts(repaired) == PLANTS[plant]
    assert repaired.clean

    again = await world.reconcile()
    assert counts(again) == {}
    assert await world.repository.get(other.id) == other
    assert set(other.object_keys) <= await world.files()
    if plant is not plant_stuck_deletion:
        assert await world.repository.get(image.id) == image
        assert set(image.object_keys) | set(other.object_keys) == await world.files()
        return
    assert await world.repository.get(image.id) is None
    assert set(other.object_keys) == await world.files()
    assert {path for purge in world.cdn.invalidations for path in purge.paths}


async def test_a_lost_file_is_told_and_nothing_thrown_away(world: World) -> None:
    image, _ = await two_images(world)
    await plant_missing_file(world, image)

    state = await world.reconcile(fix=True)

    assert counts(state) == {FindingKind.MISSING_FILE: 1}
    assert state.findings[0].detail == image.thumbnail.key
    assert not state.clean
    assert await world.repository.get(image.id) == image


async def test_what_is_younger_than_an_hour_is_left_alone(world: World) -> None:
    for plant in (
        *(plant_old_intent, plant_orphaned_file, plant_stuck_deletion, plant_missing_pointer),
        *(plant_stale_pointer, plant_orphaned_pointers, plant_missing_file),
    ):
        image, _ = await two_images(world)
        await plant(world, image)
    before = await world.items(), await world.files()

    state = await world.reconcile(fix=True, min_age=timedelta(hours=1))

    assert counts(state) == {}
    assert (await world.items(), await world.files()) == before


async def test_all_at_once_and_interrupted_after_every_page(world: World) -> None:
    images = [await world.upload(USER, album_id="castles", tags=("Castle",)) for _ in range(12)]
    victims = iter(images)
    for plant in PLANTS:
        if plant not in {plant_missing_counters, plant_wrong_counters}:
            await plant(world, next(victims))
    await plant_wrong_counters(world, images[0])
    wanted = sum((Counter(PLANTS[p]) for p in PLANTS if p is not plant_missing_counters), Counter())
    world.list_pages_of(5)

    class Interrupted(Exception):
        pass

    state = Reconciliation(fix=True)
    runs = 0
    while not state.done:
        seen = 0

        def progress(_: Reconciliation) -> None:
            nonlocal seen
            seen += 1
            if seen == 3:
                raise Interrupted

        runs += 1
        reconciler = Reconciler(
            world.stores,
            world.processor,
            Options(min_age=timedelta(0), rate=1e9, max_orphans=1_000),
            now=world.now,
        )
        try:
            await reconciler.run(state, progress)
        except Interrupted:
            continue
        except DependencyUnavailable:
            pytest.fail("no store was down")

    assert runs > 3
    assert state.clean
    assert state.found == wanted
    await world.processor.drain()  # as the workers would, where the last word was cut off
    assert counts(await world.healed().reconcile()) == {}


async def test_an_interruption_counts_nothing_twice(world: World) -> None:
    for _ in range(6):
        image = await world.upload(USER, tags=("Castle",))
    await plant_missing_pointer(world, image)
    await plant_orphaned_file(world, image)
    world.list_pages_of(5)
    checkpoints: list[Reconciliation] = []
    options = Options(min_age=timedelta(0), rate=1e9)
    reconciler = Reconciler(world.stores, world.processor, options, now=world.now)
    whole = Reconciliation(fix=False)
    await reconciler.run(whole, lambda state: checkpoints.append(deepcopy(state)))

    assert len(checkpoints) > 4
    for resumed in checkpoints:
        await reconciler.run(resumed, lambda _: None)
        assert resumed == whole


async def test_the_files_of_another_table_are_not_removed(world: World, unique: str) -> None:
    for _ in range(5):
        await world.upload(USER)
    files = await world.files()
    all_files = 5 * FILES
    await create_table(world.table.client, f"Other-{unique}")
    other = World(Table(world.table.client, f"Other-{unique}"), world.s3, world.bucket)
    other.ahead = DAY

    for max_orphans in (None, all_files - 1):
        with pytest.raises(TooManyOrphans) as refused:
            await other.reconcile(fix=True, max_orphans=max_orphans)
        assert (refused.value.orphans, refused.value.files) == (all_files, all_files)
        assert await world.files() == files
    assert counts(await other.reconcile()) == {FindingKind.ORPHANED_FILE: all_files}
    assert counts(await world.reconcile()) == {}

    await other.reconcile(fix=True, max_orphans=all_files)
    assert await world.files() == set()


async def test_up_to_a_fifth_of_the_files_may_be_removed(world: World) -> None:
    for _ in range(4):
        image = await world.upload(USER)
    await plant_orphaned_file(world, image)
    assert (await world.reconcile(fix=True, max_orphans=None)).clean
    for _ in range(2):
        await plant_orphaned_file(world, image)
    with pytest.raises(TooManyOrphans):
        await world.reconcile(fix=True, max_orphans=None)


async def test_what_was_removed_before_an_interruption_counts(world: World) -> None:
    image = await world.upload(USER)
    await plant_orphaned_file(world, image)
    state = Reconciliation(fix=True)
    state.fixed[FindingKind.ORPHANED_FILE] = 9
    options = Options(min_age=timedelta(0), rate=1e9, max_orphans=10)
    reconciler = Reconciler(world.stores, world.processor, options, now=world.now)
    with pytest.raises(TooManyOrphans) as refused:
        await reconciler.run(state, lambda _: None)
    assert refused.value.orphans == 9 + FILES


@pytest.mark.parametrize("name", ["U" * 26, "7" + "Z" * 25, "cat"])
async def test_a_file_with_another_name_is_told_and_kept(world: World, name: str) -> None:
    key = f"images/{USER}/{name}.webp"
    await world.objects.put(key, b"picture", "image/webp")

    state = await world.reconcile(fix=True)

    assert (counts(state), state.clean) == ({FindingKind.ORPHANED_FILE: 1}, False)
    assert await world.files() == {key}


async def test_an_upload_that_goes_on_meanwhile_is_not_disturbed(world: World) -> None:
    """Its files are old, as its intent is; only the commit is still to come."""
    image = make_image(USER, at=utc_now() - DAY)
    intent = UploadIntent(
        image_id=image.id,
        user_id=USER,
        object_keys=image.object_keys,
        created_at=image.created_at,
    )
    await world.intents.announce(intent)
    for file in image.renditions.values():
        await world.objects.put(file.key, bytes(file.size_bytes), "image/webp")

    looked = await world.reconcile()
    assert counts(looked) == {FindingKind.OLD_INTENT: 1}
    await world.repository.add(image, intent=intent)

    assert counts(await world.reconcile(fix=True)) == {}
    assert await world.files() == set(image.object_keys)


@pytest.mark.parametrize("min_age", [timedelta(hours=1), timedelta(0)], ids=["hour", "nothing"])
async def test_beside_live_traffic(world: World, min_age: timedelta) -> None:
    """With no age to go by, it may get in the way of an upload, but breaks nothing."""
    world.ahead = timedelta(0)
    live: dict[str, Image] = {}
    running = True

    async def traffic(user: str) -> None:
        uploads, number = world.uploads, 0
        while running:
            number += 1
            await asyncio.sleep(0.05)
            new = replace(NEW, tags=(f"t{number % 3}", "all"), album_id=f"a{number % 2}")
            try:
                image = (await uploads.upload(caller(user), new)).image
            except DependencyUnavailable:
                assert not min_age, "it was disturbed"
                continue
            live[image.id] = image
            if number % 3 == 0:
                edited = image.edited({"tags": ("other",), "album_id": "b"}, utc_now())
                await world.repository.update(image, edited)
                live[image.id] = edited
            if number % 4 == 0:
                await world.delete(live.pop(image.id))

    users = [asyncio.create_task(traffic(f"user-{n}")) for n in range(3)]
    while len(live) < 12:
        state = await world.reconcile(fix=True, min_age=min_age)
        if min_age:
            assert state.findings == []
    running = False
    await asyncio.gather(*users)

    world.ahead = DAY
    await world.sweeper.sweep(world.now())
    await world.processor.drain()
    assert await world.files() == {key for image in live.values() for key in image.object_keys}
    records = await world.table_inventory.records(list(live))
    assert {image_id: record.image for image_id, record in records.items()} == live
    assert counts(await world.reconcile()) == {}
