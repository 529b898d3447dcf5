"""Races between two looks of a reconciliation, or between a look and the repair."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.samples import make_image
from tests.integration.test_reconcile import (
    USER,
    counts,
    plant_entry_set_aside,
    plant_missing_pointer,
    pointer_of,
    set_item,
)
from tests.integration.world import World

from image_service.adapters.dynamodb.items import to_wire
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Image
from image_service.domain.times import utc_now
from image_service.domain.uploads import UploadIntent
from image_service.domain.usage import Amount
from image_service.tools.reconcile.findings import FindingKind

HOUR = timedelta(hours=1)
Happening = Callable[[], Awaitable[object]]


@pytest.fixture
def world(world: World) -> World:
    """In which all that is there is old."""
    world.ahead = 2 * HOUR
    return world


def before(owner: Any, name: str, happening: Happening) -> None:
    """Have it happen just before the first call of that name."""
    real, waiting = getattr(owner, name), [happening]

    async def call(*args: Any) -> Any:
        if waiting:
            await waiting.pop()()
        return await real(*args)

    setattr(owner, name, call)


def after(owner: Any, name: str, happening: Happening) -> None:
    real, waiting = getattr(owner, name), [happening]

    async def call(*args: Any) -> Any:
        answer = await real(*args)
        if waiting:
            await waiting.pop()()
        return answer

    setattr(owner, name, call)


async def look(world: World) -> dict[FindingKind, int]:
    return counts(await world.reconcile(min_age=HOUR))


async def put(world: World, item: dict[str, Any]) -> None:
    await world.table.client.put_item(TableName=world.table.name, Item=to_wire(item))


async def is_clean(world: World) -> bool:
    return await look(world.healed()) == {}


async def delete(world: World, image: Image) -> None:
    await world.delete(image)
    await world.processor.drain()


async def edit(world: World, image: Image, **changes: Any) -> None:
    now: Image = await world.repository.get(image.id)
    await world.repository.update(now, now.edited(changes, utc_now()))


# Traffic is no fault.


async def test_a_file_deleted_after_it_was_listed(world: World) -> None:
    image = await world.upload(USER)
    after(world.inventory, "page", lambda: delete(world, image))
    assert await look(world) == {}


EDITS = pytest.mark.parametrize("changes", [{"tags": ("b",)}, {"album_id": "b"}], ids=str)


@EDITS
async def test_an_edit_after_the_items_were_read(world: World, changes: dict[str, Any]) -> None:
    image = await world.upload(USER, tags=("a",), album_id="a")
    after(world.table_inventory, "page", lambda: edit(world, image, **changes))
    assert await look(world) == {}
    assert await is_clean(world)


@EDITS
async def test_an_edit_before_the_pointers_are_compared(
    world: World, changes: dict[str, Any]
) -> None:
    image = await world.upload(USER, tags=("a",), album_id="a")
    before(world.table_inventory, "wrong_pointers", lambda: edit(world, image, **changes))
    assert await look(world) == {}


async def test_an_edit_that_makes_a_suspected_pointer_right(world: World) -> None:
    image = await world.upload(USER, tags=("a",))
    await plant_pointer(world, image, "b")
    before(world.table_inventory, "has_pointer", lambda: edit(world, image, tags=("a", "b")))
    assert await look(world) == {}


async def plant_pointer(world: World, image: Image, tag: str) -> None:
    pointer = await pointer_of(world, image, "a")
    await put(world, pointer | {"PK": f"TAG#{USER}#{tag}"})


async def test_an_image_deleted_after_its_items_were_read(world: World) -> None:
    image = await world.upload(USER, tags=("a",), album_id="a")
    after(world.table_inventory, "page", lambda: delete(world, image))
    assert await look(world) == {}


async def test_a_deletion_that_ends_after_it_was_read(world: World) -> None:
    image = await world.upload(USER)
    await world.repository.mark_deleted(image, utc_now())
    after(world.table_inventory, "page", world.processor.drain)
    assert await look(world) == {}


async def test_an_intent_settled_after_it_was_read(world: World) -> None:
    await announce(world, make_image(USER, at=utc_now()))
    after(world.table_inventory, "page", lambda: world.sweeper.sweep(world.now()))
    assert await look(world) == {}


async def test_an_image_counted_but_not_in_the_counter_that_was_read(world: World) -> None:
    await world.upload(USER)
    after(world.table_inventory, "page", lambda: world.upload(USER))
    assert await look(world) == {}


async def test_an_album_emptied_after_it_was_read_with_an_index_that_lags(world: World) -> None:
    image = await world.upload(USER, album_id="a")
    lagging(world, Amount(1, image.stored_bytes))
    after(world.table_inventory, "page", lambda: edit(world, image, album_id=None))
    assert await look(world) == {}


def lagging(world: World, amount: Amount) -> None:
    async def counted(user_id: str, album_id: str | None) -> AsyncIterator[Amount]:
        yield amount

    world.table_inventory.counted = counted


async def announce(world: World, image: Image) -> None:
    await world.intents.announce(
        UploadIntent(
            image_id=image.id,
            user_id=image.user_id,
            object_keys=image.object_keys,
            created_at=image.created_at,
        )
    )


@pytest.mark.parametrize(("minutes", "found"), [(75, 0), (81, 1)])
async def test_an_intent_is_the_sweepers_before_it_is_a_fault(
    world: World, minutes: int, found: int
) -> None:
    """They come by every 5 to 15 minutes."""
    await announce(world, make_image(USER, at=utc_now() - timedelta(minutes=minutes)))
    world.ahead = timedelta(0)
    assert (await look(world)).get(FindingKind.OLD_INTENT, 0) == found


async def test_an_intent_left_of_a_committed_image_is_no_fault(world: World) -> None:
    image = await world.upload(USER)
    await announce(world, image)
    assert counts(await world.reconcile(fix=True, min_age=HOUR)) == {}
    assert await world.files() == set(image.object_keys)


# Counters.


@pytest.mark.parametrize("album_id", [None, "a"])
async def test_a_counter_lately_touched_is_left_alone_however_the_index_lags(
    world: World, album_id: str | None
) -> None:
    image = await world.upload(USER, album_id=album_id)
    world.ahead = timedelta(0)
    lagging(world, Amount())
    assert counts(await world.reconcile(fix=True, min_age=HOUR)) == {}
    usage = await world.table_inventory.usage(USER, album_id)
    assert usage.amount == Amount(1, image.stored_bytes)


async def test_a_counter_older_than_its_time_is_held_to_be_old(world: World) -> None:
    await world.upload(USER)
    item = await world.table.item(f"USER#{USER}", "USAGE")
    del item["updatedAt"]
    await put(world, item | {"imageCount": 7})
    world.ahead = timedelta(0)
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert (counts(state), state.clean) == ({FindingKind.WRONG_COUNTER: 1}, True)
    assert "updatedAt" in await world.table.item(f"USER#{USER}", "USAGE")


async def test_a_counter_that_moved_on_is_not_corrected(world: World) -> None:
    image = await world.upload(USER)
    await set_item(world, f"USER#{USER}", "USAGE", imageCount=7)
    before(world.table_inventory, "correct_usage", lambda: world.upload(USER))
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert (counts(state), state.clean) == ({FindingKind.WRONG_COUNTER: 1}, False)
    assert (await world.reconcile(fix=True, min_age=HOUR)).clean
    usage = await world.table_inventory.usage(USER, None)
    assert usage.amount == Amount(2, 2 * image.stored_bytes)


async def test_a_counter_that_came_back_is_not_written_over(world: World) -> None:
    await world.upload(USER)
    assert not await world.table_inventory.correct_usage(USER, None, None, Amount(5, 5))


async def test_a_counter_touched_since_is_not_corrected_though_it_says_the_same(
    world: World,
) -> None:
    await world.upload(USER)
    seen = await world.table_inventory.usage(USER, None)
    for other in (seen.updated_at - timedelta(milliseconds=1), None):
        earlier = replace(seen, updated_at=other)
        assert not await world.table_inventory.correct_usage(USER, None, earlier, Amount(5, 5))
    assert await world.table_inventory.usage(USER, None) == seen
    assert await world.table_inventory.correct_usage(USER, None, seen, Amount(5, 5))


# Repairs that come too late.


async def test_a_pointer_that_became_right_is_not_removed(world: World) -> None:
    image = await world.upload(USER, tags=("a",))
    await plant_pointer(world, image, "b")
    before(world.table_inventory, "remove_pointer", lambda: edit(world, image, tags=("a", "b")))
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert (counts(state), state.clean) == ({FindingKind.ORPHANED_POINTER: 1}, False)
    assert await is_clean(world)


async def test_pointers_of_an_edited_image_are_not_written(world: World) -> None:
    image = await world.upload(USER, tags=("castle",))
    await plant_missing_pointer(world, image)
    before(world.table_inventory, "rewrite_pointers", lambda: edit(world, image, tags=("b",)))
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert (counts(state), state.clean) == ({FindingKind.MISSING_POINTER: 1}, False)
    assert await world.table.partition(f"TAG#{USER}#castle") == []
    assert await is_clean(world)


async def test_an_entry_that_another_revived_is_not_claimed(world: World) -> None:
    await plant_entry_set_aside(world, await world.upload(USER))
    (entry,) = [entry async for entry in world.outbox.dead_letters()]
    before(world.outbox, "revive", lambda: world.healed().outbox.revive(entry, utc_now()))
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert (counts(state), state.clean) == ({FindingKind.SET_ASIDE: 1}, False)


async def test_an_image_committed_after_its_intent_was_read(world: World) -> None:
    image = make_image(USER, at=utc_now() - 2 * HOUR)
    await announce(world, image)
    before(world.intents, "withdraw", lambda: world.repository.add(image))
    state = await world.reconcile(fix=True, min_age=HOUR)
    assert state.fixed.total() == 0
    assert await world.repository.get(image.id) == image


# Repairs that fail, or are made again.


async def test_a_repair_that_fails_is_told_and_holds_nobody_up(world: World) -> None:
    image = await world.upload(USER, tags=("castle",))
    await plant_missing_pointer(world, image)
    dead = [make_image(USER, at=utc_now()) for _ in range(2)]
    for upload in dead:
        await announce(world, upload)
        await world.objects.put(upload.main.key, b"dead", "image/webp")

    async def fail() -> None:
        raise DependencyUnavailable

    before(world.objects, "delete", fail)
    state = await world.reconcile(fix=True, min_age=HOUR)

    assert counts(state) == {FindingKind.OLD_INTENT: 2, FindingKind.MISSING_POINTER: 1}
    assert (state.fixed.total(), state.done) == (2, True)
    assert (await world.reconcile(fix=True, min_age=HOUR)).clean
    assert await world.files() == set(image.object_keys)


async def test_a_stuck_deletion_gets_one_entry_a_day(world: World) -> None:
    await world.repository.mark_deleted(await world.upload(USER), utc_now())
    world.cdn.failure = DependencyUnavailable()
    for hours in range(2, 6):
        world.ahead = timedelta(hours=hours)
        state = await world.reconcile(fix=True, min_age=HOUR)
        assert (counts(state), state.clean) == ({FindingKind.STUCK_DELETION: 1}, hours == 2)
    assert len([item for item in await world.items() if item["type"] == "outbox"]) == 1

    world.ahead = timedelta(hours=27)
    assert (await world.reconcile(fix=True, min_age=HOUR)).clean


async def test_a_counter_missed_by_many_images_is_counted_and_told_once(world: World) -> None:
    for _ in range(8):
        image = await world.upload(USER)
    await world.table.client.delete_item(
        TableName=world.table.name,
        Key={"PK": {"S": f"USER#{USER}"}, "SK": {"S": "USAGE"}},
    )
    world.table_inventory = type(world.table_inventory)(
        world.table.client, world.table.name, page_items=2
    )
    real, counted = world.table_inventory.counted, []

    def counting(*counter: Any) -> AsyncIterator[Amount]:
        counted.append(counter)
        answer: AsyncIterator[Amount] = real(*counter)
        return answer

    world.table_inventory.counted = counting
    state = await world.reconcile(min_age=HOUR)
    assert counts(state) == {FindingKind.WRONG_COUNTER: 1}
    assert counted == [(USER, None)]
    assert state.findings[0].detail == f"says nothing, is 8 images, {8 * image.stored_bytes} bytes"


# What can't be read.


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("image", "id"), ("image", "renditions"), ("image", "checksum")),
        *(("usage", "totalBytes"), ("intent", "objectKeys"), ("outbox", "tries")),
    ],
)
async def test_an_item_that_lacks_something_is_told_and_left_alone(
    world: World, kind: str, name: str
) -> None:
    image = await world.upload(USER, tags=("a", "b"), album_id="a")
    await plant_entry_set_aside(world, image)
    await announce(world, make_image(USER, at=utc_now()))
    world.table_inventory = type(world.table_inventory)(
        world.table.client, world.table.name, page_items=1
    )
    victim = next(item for item in await world.items() if item["type"] == kind)
    del victim[name]
    await put(world, victim)
    wrong = await world.items(), await world.files()

    state = await world.reconcile(min_age=HOUR)

    assert state.found[FindingKind.UNREADABLE_ITEM] == 1
    others = {FindingKind.SET_ASIDE, FindingKind.OLD_INTENT, FindingKind.UNREADABLE_ITEM}
    assert set(counts(state)) <= others
    told = next(f for f in state.findings if f.kind is FindingKind.UNREADABLE_ITEM)
    assert told.subject == f"{victim['PK']} {victim['SK']}"
    repaired = await world.reconcile(fix=True, min_age=HOUR)
    assert not repaired.clean
    left = [item for item in await world.items() if item["type"] == kind and name not in item]
    assert left == [victim]
    assert await world.files() == wrong[1]


async def test_a_time_that_is_none_is_unreadable(world: World) -> None:
    await world.upload(USER)
    await set_item(world, f"USER#{USER}", "USAGE", updatedAt="yesterday")
    assert await look(world) == {FindingKind.UNREADABLE_ITEM: 1}
