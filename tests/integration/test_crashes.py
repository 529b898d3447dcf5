"""A task that dies at any step of an upload or a deletion, and what is made of the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.world import DAY, World
from tests.unit.builders import NEW, caller

from image_service.adapters.dynamodb import keys
from image_service.domain.errors import DependencyUnavailable, IdempotencyInProgress, OutcomeUnknown
from image_service.domain.images import Image, new_image_id
from image_service.domain.renditions import RENDITIONS
from image_service.domain.times import format_timestamp, utc_now
from image_service.domain.uploads import Uploaded, UploadIntent

USER = "auth0|crash"
FILES = len(RENDITIONS)  # of an image
COMMIT = FILES + 3


class Crash(BaseException):
    """Nothing in the service may catch this and go on, as nothing survives a kill."""


class Crashing:
    """Passes calls on to `target` until `step` calls of the world were made."""

    def __init__(self, target: Any, clock: Counter[str], step: int, *, before: bool) -> None:
        self._target = target
        self._clock = clock
        self._step = step
        self._before = before

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)

        async def counted(*args: Any, **also: Any) -> Any:
            self._clock["calls"] += 1
            number = self._clock["calls"]
            if number > self._step or (number == self._step and self._before):
                raise Crash
            answer = await call(*args, **also)
            if number == self._step:
                raise Crash
            return answer

        return counted


def crashing(world: World, step: int, *, before: bool) -> World:
    """From that step on nothing gets through: carried out itself, or not."""
    dying = world.healed()
    clock: Counter[str] = Counter()
    for name in ("repository", "intents", "records", "outbox", "objects", "cdn"):
        setattr(dying, name, Crashing(getattr(dying, name), clock, step, before=before))
    return dying


async def assert_sound(world: World, *live: Image) -> None:
    """The live images are whole, and there is nothing else."""
    for image in live:
        assert await world.repository.get(image.id) == image
    assert await world.files() == {key for image in live for key in image.object_keys}
    assert (await world.reconcile()).clean
    assert await world.kinds() <= {"image", "usage", "tag", "idempotency"}
    assert await world.table.lists.count(USER, None) == len(live)


async def images_of(world: World) -> list[Image]:
    page = await world.table_inventory.page(None)
    return [record.image for record in page.records if record.deleted_at is None]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, COMMIT + 2))
async def test_a_crash_during_an_upload(world: World, step: int, *, before: bool) -> None:
    """The steps: claim, intent, files, commit; the last is past the end."""
    dying = crashing(world, step, before=before)
    acknowledged = None
    with suppress(Crash):
        acknowledged = await dying.upload(USER, "key", tags=("castle",), album_id="a")

    live = await images_of(world)
    for image in live:  # at every moment: no live image without its files
        assert set(image.object_keys) <= await world.files()
    assert acknowledged is None or live == [acknowledged]
    assert len(live) == (step > COMMIT or (step == COMMIT and not before))

    world.ahead = DAY
    await world.sweeper.sweep(world.now())
    await assert_sound(world, *live)

    if live:
        replay = await world.uploads.upload(caller(USER), new_image(), "key")
        assert replay == Uploaded(live[0], replayed=True)


def new_image() -> Any:
    return replace(NEW, tags=("castle",), album_id="a")


@pytest.mark.parametrize("mend", ["worker", "reconcile"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 4))
async def test_a_crash_of_a_request_that_deletes(
    world: World, step: int, mend: str, *, before: bool
) -> None:
    """The steps: mark, files, entry moved on."""
    kept, image = await world.upload(USER), await world.upload(USER, tags=("x",), album_id="a")
    dying = crashing(world, step, before=before)
    with suppress(Crash):
        await dying.delete(image)

    world.ahead = DAY
    if mend == "worker":
        await world.processor.drain()
    else:
        await world.reconcile(fix=True)
    if step == 1 and before:
        await assert_sound(world, kept, image)
        return
    await assert_sound(world, kept)
    assert {path for purge in world.cdn.invalidations for path in purge.paths} >= {
        f"/{key}".replace("|", "%7C") for key in image.object_keys
    }


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 17))
async def test_a_crash_of_the_worker(world: World, step: int, *, before: bool) -> None:
    """The steps: takes, for two images files and swaps, a take, the batch, the call, records."""
    kept = await world.upload(USER)
    for _ in range(2):
        gone = await world.upload(USER)
        await world.repository.mark_deleted(gone, world.now() - timedelta(minutes=1))
    world.ahead = timedelta(minutes=1)
    dying = crashing(world, step, before=before)
    with suppress(Crash):
        await dying.processor.drain()
    for purge in world.cdn.invalidations:  # never a path whose file is still there
        for path in purge.paths:
            assert path.removeprefix("/").replace("%7C", "|") not in await world.files()

    world.ahead = DAY  # the leases of the dead are over
    await world.processor.drain()

    await assert_sound(world, kept)
    assert len(world.cdn.invalidations) in {1, 2}


async def test_a_batch_is_carried_on_with_however_often_its_task_dies(world: World) -> None:
    """CloudFront fails first, so that the batch is put off and read again."""
    for _ in range(12):
        gone = await world.upload(USER)
        await world.repository.mark_deleted(gone, world.now() - timedelta(minutes=1))
    world.ahead = timedelta(minutes=1)
    world.cdn.failure = DependencyUnavailable()
    await world.processor.drain()
    world.cdn.failure = None
    for hours in range(1, 4):
        world.ahead = timedelta(hours=hours)
        dying = crashing(world, 4, before=True)  # take, call, and two of the records
        with suppress(Crash):
            await dying.processor.round()
        (batch,) = [item for item in await world.items() if item["type"] == "outbox"]
        assert len(batch["images"]) == 12

    world.ahead = DAY
    await world.processor.drain()

    await assert_sound(world)
    assert len(world.cdn.invalidations) == 1


async def test_entries_of_a_newer_release_hold_nobody_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """While a deployment rolls, tasks of both releases work on one outbox."""
    kept = await world.upload(USER)
    for _ in range(4):
        gone = await world.upload(USER)
        await world.repository.mark_deleted(gone, world.now() - timedelta(minutes=1))
    (known, *_) = [item for item in await world.items() if item["type"] == "outbox"]
    newer: list[dict[str, Any]] = [
        known | {"task": "erase-user"},
        known | {"step": "publish"},
        known | {"schemaVersion": 2},
        known | {"images": [{"id": "only"}]},
        known | {"images": []},
        {name: value for name, value in known.items() if name != "tries"},
        known | {"step": "edges"},  # which lies elsewhere
    ]
    others = [letter for letter in "ABCDEFGH" if letter != known["SK"][-1]]
    for letter, item in zip(others, newer, strict=False):
        item["SK"] = f"{known['SK'][:-1]}{letter}"
        await world.put(item)
        await world.put({**item, "PK": "OUTBOX#DEAD"})

    world.ahead = 2 * DAY
    await world.processor.drain()
    dead_letter = [entry async for entry in world.outbox.dead_letters()]

    left = [item for item in await world.items() if item["type"] == "outbox"]
    assert [item for item in left if item["PK"] == known["PK"]] == newer
    assert await images_of(world) == [kept]
    assert {item["id"] for item in await world.items() if item["type"] == "image"} == {kept.id}
    assert len(world.outbox.unreadable) == 2 * len(newer) - 1
    assert [entry.deletions[0].image_id for entry in dead_letter] == [known["images"][0]["id"]]
    told = [record for record in caplog.records if "outbox_entry_unreadable" in record.message]
    assert len(told) == 2 * len(newer) - 1


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 4))
async def test_a_crash_of_the_sweeper(world: World, step: int, *, before: bool) -> None:
    dying = crashing(world, 3, before=False)  # both files are there, the commit is not
    with suppress(Crash):
        await dying.upload(USER)
    world.ahead = DAY
    sweeping = crashing(world, step, before=before)
    sweeping.intents.stale = world.intents.stale
    with suppress(Crash):
        await sweeping.sweeper.sweep(world.now())

    await world.sweeper.sweep(world.now())

    await assert_sound(world)


async def unanswered(call: Callable[..., Any], *args: Any, **also: Any) -> None:
    await call(*args, **also)
    raise OutcomeUnknown


async def test_a_commit_whose_answer_was_lost_is_the_image(world: World) -> None:
    """Over a real store: the withdrawal finds the commit, and the files stay."""
    dying = world.healed()
    add = dying.repository.add
    dying.repository.add = lambda *args, **also: unanswered(add, *args, **also)

    image = await dying.upload(USER, "key")

    await assert_sound(world, image)
    assert await world.upload(USER, "key") == image


async def test_fifty_uploads_of_one_user_at_once(world: World) -> None:
    uploads = world.uploads
    images = [
        uploaded.image
        for uploaded in await asyncio.gather(
            *(uploads.upload(caller(USER), new_image()) for _ in range(50))
        )
    ]

    usage = await world.table.partition(f"USER#{USER}")
    size = sum(image.stored_bytes for image in images)
    assert {item["SK"]: (item["imageCount"], item["totalBytes"]) for item in usage} == {
        "USAGE": (50, size),
        "USAGE#ALBUM#a": (50, size),
    }
    await assert_sound(world, *images)


async def test_ten_copies_of_one_request_over_two_tasks(world: World) -> None:
    one, two = world.uploads, world.healed().uploads
    results = await asyncio.gather(
        *(task.upload(caller(USER), new_image(), "key") for task in (one, two) for _ in range(5)),
        return_exceptions=True,
    )

    uploaded = [result for result in results if isinstance(result, Uploaded)]
    refused = [result for result in results if isinstance(result, IdempotencyInProgress)]
    assert len(uploaded) + len(refused) == 10
    assert sum(not result.replayed for result in uploaded) == 1
    await assert_sound(world, uploaded[0].image)


async def test_a_task_that_died_holding_a_key_gives_it_up_with_its_lease(world: World) -> None:
    dying = crashing(world, 3, before=True)
    with suppress(Crash):
        await dying.upload(USER, "key")
    with pytest.raises(IdempotencyInProgress):
        await world.upload(USER, "key")

    later = world.uploads
    later._now = lambda: world.now() + timedelta(seconds=61)
    uploaded = await later.upload(caller(USER), new_image(), "key")

    assert not uploaded.replayed
    world.ahead = DAY
    await world.sweeper.sweep(world.now())
    await assert_sound(world, uploaded.image)


async def test_two_workers_on_one_outbox(world: World) -> None:
    images = [await world.upload(USER) for _ in range(30)]
    for image in images:
        await world.repository.mark_deleted(image, world.now() - timedelta(minutes=1))
    world.ahead = 2 * DAY

    await asyncio.gather(*(world.processor.drain() for _ in range(3)))

    paths = [path for purge in world.cdn.invalidations for path in purge.paths]
    assert len(paths) == len(set(paths)) == 30 * FILES
    await assert_sound(world)


async def test_an_intent_that_can_not_be_read_holds_up_no_other(world: World) -> None:
    old = utc_now() - timedelta(days=1)
    for shard in range(keys.SHARDS):
        await world.put(
            {"PK": f"INTENT#{shard}", "SK": f"{format_timestamp(old)}#0", "type": "intent"}
        )
    image_id = new_image_id(old)
    intent = UploadIntent(
        image_id=image_id,
        user_id=USER,
        object_keys=(RENDITIONS[0].key(USER, image_id),),
        created_at=old,
    )
    await world.intents.announce(intent)

    await world.sweeper.sweep(world.now())

    assert not await world.intents.exists(image_id)
