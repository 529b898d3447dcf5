"""Stored images brought to another table: beside traffic, deaths, and other runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.contract.samples import make_image
from tests.fakes import FakeObjectStore
from tests.integration.test_crashes import USER, Crash, Crashing, images_of
from tests.integration.world import DAY, World
from tests.unit.builders import caller

from image_service.adapters.redis import RedisImageCache, open_redis
from image_service.domain.errors import DependencyUnavailable, InvalidImage, OutcomeUnknown
from image_service.domain.images import CdnUrls, ExpectedVersion, Image, ImageChanges
from image_service.domain.listing import ListQuery
from image_service.domain.renditions import RenditionSpec, table
from image_service.domain.rerenders import HoldLost, Rerender
from image_service.domain.times import utc_now
from image_service.services.library import Library
from image_service.services.sweeping import RerenderSweeper
from image_service.services.worker import Worker
from image_service.telemetry.telemetry import Telemetry
from image_service.tools.reconcile.findings import Finding, FindingKind
from image_service.tools.rerender.rerenderer import NotRendered, Outcome
from image_service.tools.rerender.run import Options, Outage, Rerendering, Run, Stopped
from image_service.tools.rerender.stores import DynamoImages

Event = Callable[[], Awaitable[None]]

*OLD, SMALL, LARGE = NEW = table((40, 80))


def crashing(world: World, step: int, *, before: bool) -> World:
    """From that step on nothing gets through: carried out itself, or not."""
    dying = world.healed()
    dying.renditions = world.renditions
    clock: Counter[str] = Counter()
    for name in ("repository", "rerenders", "outbox", "objects", "cdn"):
        setattr(dying, name, Crashing(getattr(dying, name), clock, step, before=before))
    return dying


def names(*specs: RenditionSpec) -> set[str]:
    return {spec.name for spec in specs}


async def stored(world: World, image: Image) -> Image:
    now: Image | None = await world.repository.get(image.id)
    assert now is not None
    return now


async def assert_sound(world: World, *live: Image) -> None:
    """The live images are whole, counted, and there is nothing else."""
    for image in live:
        assert await world.repository.get(image.id) == image
    assert await world.files() == {key for image in live for key in image.object_keys}
    assert (await world.reconcile()).findings == []
    assert await world.kinds() <= {"image", "usage", "tag", "idempotency"}


async def assert_settles(
    world: World, *specs: RenditionSpec, removed: AbstractSet[str] = frozenset()
) -> None:
    """Whatever was left behind is cleared away; no image ever lacks a file; all is as wanted."""
    for image in await images_of(world):
        assert set(image.object_keys) <= await world.files()
    world.ahead = DAY
    await world.rerender_sweeper.sweep(world.now())
    await world.rerender("after", patience=0)
    await world.processor.drain()
    live = await images_of(world)
    for image in live:
        assert image.renditions.keys() == names(*specs)
        assert image.version == 1
    await assert_sound(world, *live)
    paths = {path for purge in world.cdn.invalidations for path in purge.paths}
    assert paths >= {CdnUrls.path(key) for key in removed}


@pytest.fixture
def old(world: World) -> World:
    world.renditions = OLD
    return world


async def test_what_is_missing_is_made_and_what_is_unwanted_removed(old: World) -> None:
    world = old
    image = await world.upload(USER, album_id="a", tags=("x",))
    world.renditions = (*OLD, SMALL)
    first = await world.rerender()
    assert (first.images, first.rendered, first.failed) == (1, 1, 0)
    made = await stored(world, image)
    assert made == image.rendered(made.renditions)
    assert made.renditions.keys() == names(*OLD, SMALL)
    (added,) = set(made.object_keys) - set(image.object_keys)
    picture = await world.s3.get_object(Bucket=world.bucket, Key=added)
    assert await picture["Body"].read() == b"w40 of main of picture"
    assert (picture["ContentType"], picture["CacheControl"]) == ("image/webp", "private")
    await assert_sound(world, made)
    assert (await world.rerender()).rendered == 0
    assert await stored(world, image) == made

    world.renditions = (*OLD, LARGE)
    assert (await world.rerender()).rendered == 1
    changed = await stored(world, image)
    assert changed.renditions.keys() == names(*OLD, LARGE)
    assert changed.entity_tag == "1.2"
    assert added not in await world.files()
    assert world.cdn.invalidations == []  # by a worker: here, none has been
    await world.processor.drain()
    assert [set(purge.paths) for purge in world.cdn.invalidations] == [{CdnUrls.path(added)}]
    await assert_sound(world, changed)

    world.renditions = (*OLD, SMALL)
    assert (await world.rerender()).rendered == 1
    world.ahead = DAY
    await world.rerender_sweeper.sweep(world.now())
    await world.processor.drain()
    assert added in await world.files()
    await assert_sound(world, await stored(world, image))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 11))
async def test_a_death_at_any_step(old: World, step: int, *, before: bool) -> None:
    """The steps: hold, read, two files, commit, read, files, end of the hold; then none."""
    world = old
    world.renditions = (*OLD, SMALL)
    image = await world.upload(USER, album_id="a")
    world.renditions = (*OLD, LARGE)
    dying = crashing(world, step, before=before)
    with suppress(Crash):
        await dying.rerender()
    await assert_settles(world, *OLD, LARGE, removed={image.renditions[SMALL.name].key})


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 8))
async def test_a_death_of_the_sweeper(old: World, step: int, *, before: bool) -> None:
    """After a commit: take over, read, files, end; and once more of one that was abandoned."""
    world = old
    world.renditions = (*OLD, SMALL)
    committed, abandoned = await world.upload(USER), await world.upload(USER)
    removed = {committed.renditions[SMALL.name].key, abandoned.renditions[SMALL.name].key}
    world.renditions = (*OLD, LARGE)
    for image, last in ((committed, 4), (abandoned, 3)):  # the commit, the file
        with suppress(Crash):
            await crashing(world, last, before=False).rerenderer().bring(image)
    world.ahead = DAY
    sweeping = crashing(world, step, before=before)
    sweeping.ahead = DAY
    sweeping.rerenders.stale = world.rerenders.stale
    with suppress(Crash):
        await sweeping.rerender_sweeper.sweep(world.now())
    world.ahead = 2 * DAY
    await assert_settles(world, *OLD, LARGE, removed=removed)


class Meanwhile:
    """Passes calls on to `target`; before the given one of the world, something else happens."""

    def __init__(self, target: Any, clock: Counter[str], step: int, event: Event) -> None:
        self._target = target
        self._clock = clock
        self._step = step
        self._event = event

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)

        async def counted(*args: Any, **also: Any) -> Any:
            self._clock["calls"] += 1
            if self._clock["calls"] == self._step:
                await self._event()
            return await call(*args, **also)

        return counted


def meanwhile(world: World, step: int, event: Event) -> World:
    other = world.healed()
    other.renditions = world.renditions
    clock: Counter[str] = Counter()
    for name in ("repository", "rerenders", "objects"):
        setattr(other, name, Meanwhile(getattr(other, name), clock, step, event))
    return other


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_deletion_at_any_step(old: World, step: int) -> None:
    world = old
    world.renditions = (*OLD, SMALL)
    image, kept = await world.upload(USER, album_id="a"), await world.upload(USER, album_id="a")
    world.renditions = (*OLD, LARGE)

    async def delete() -> None:
        await world.delete(await stored(world, image))

    other = meanwhile(world, step, delete)
    outcome = await other.rerenderer().bring(image)
    assert outcome is (Outcome.RENDERED if step > 4 else Outcome.DELETED)
    if step > 7:
        await delete()
    await world.processor.drain()
    world.ahead = DAY  # and the second look
    await world.processor.drain()
    await assert_sound(world, kept)
    removed = {CdnUrls.path(key) for key in image.object_keys}
    assert {path for purge in world.cdn.invalidations for path in purge.paths} >= removed


def library(world: World) -> Library:
    return Library(
        repository=world.repository,
        lists=world.table.lists,
        cache=world.cache,
        deletions=world.deletions,
    )


@pytest.mark.parametrize("step", range(1, 9))
async def test_an_edit_at_any_step(old: World, step: int) -> None:
    """Both stay, and the counters of both albums are right."""
    world = old
    world.renditions = (*OLD, SMALL)
    image = await world.upload(USER, album_id="a", tags=("x",))
    world.renditions = (*OLD, LARGE)

    async def edit() -> None:
        changes: ImageChanges = {"title": "New", "album_id": "b", "tags": ("y",)}
        await library(world).update(caller(USER), image.id, changes, ExpectedVersion(body=1))

    assert await meanwhile(world, step, edit).rerenderer().bring(image) is Outcome.RENDERED
    if step > 7:
        await edit()
    now = await stored(world, image)
    assert (now.title, now.album_id, now.tags, now.entity_tag) == ("New", "b", ("y",), "2.1")
    assert now.renditions.keys() == names(*OLD, LARGE)
    await world.processor.drain()
    await assert_sound(world, now)


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_hold_that_is_taken_over_at_any_step(old: World, step: int) -> None:
    """As if the run had stood still for an hour: it may fail, and no file is lost or left."""
    world = old
    world.renditions = (*OLD, SMALL)
    image = await world.upload(USER)
    world.renditions = (*OLD, LARGE)

    async def sweep() -> None:
        await world.rerender_sweeper.sweep(world.now() + DAY)

    other = meanwhile(world, step, sweep)
    if step in {2, 3, 4}:
        with pytest.raises(NotRendered, match="taken over"):
            await other.rerenderer().bring(image)
        await assert_sound(world, image)
        return
    assert await other.rerenderer().bring(image) is Outcome.RENDERED
    await world.processor.drain()
    await assert_sound(world, await stored(world, image))


async def test_a_storm_of_edits_uploads_and_deletions(old: World) -> None:
    world = old
    images = [await world.upload(USER, album_id="a") for _ in range(12)]
    world.renditions = NEW
    requests = library(world)
    anyone = ExpectedVersion(if_match="*")

    async def edits(image: Image) -> None:
        for number in range(5):
            changes: ImageChanges = {"title": f"{number}", "album_id": "ab"[number % 2]}
            await requests.update(caller(USER), image.id, changes, anyone)

    *_, state = await asyncio.gather(
        *map(edits, images[:6]),
        *(requests.delete(caller(USER), image.id, anyone) for image in images[6:9]),
        *(world.upload(USER, album_id="b") for _ in range(3)),
        world.rerender(patience=30),
    )
    assert isinstance(state, Rerendering)
    assert state.failed == 0
    await requests._deletions.aclose()
    for world.ahead in (timedelta(minutes=1), DAY):  # the second look, too
        await world.processor.drain()
    live = await images_of(world)
    assert len(live) == 12
    for image in live:
        assert image.renditions.keys() == names(*NEW)
    edited = [image for image in live if image.id in {each.id for each in images[:6]}]
    assert {(image.title, image.version, image.revision) for image in edited} == {("4", 6, 1)}
    await assert_sound(world, *live)


async def test_two_runs_side_by_side(old: World) -> None:
    world = old
    for _ in range(15):
        await world.upload(USER, album_id="a")
    world.renditions = NEW
    one, two = await asyncio.gather(
        world.rerender("one", patience=30), world.rerender("two", patience=30)
    )
    assert (one.failed, two.failed, one.rendered + two.rendered) == (0, 0, 15)
    live = await images_of(world)
    assert {image.entity_tag for image in live} == {"1.1"}
    await assert_sound(world, *live)


async def test_two_runs_with_different_tables(old: World) -> None:
    world = old
    for _ in range(10):
        await world.upload(USER)
    other = world.healed()
    world.renditions, other.renditions = (*OLD, SMALL), (*OLD, LARGE)
    await asyncio.gather(world.rerender("one", patience=30), other.rerender("two", patience=30))
    await world.processor.drain()
    live = await images_of(world)
    for image in live:
        assert image.renditions.keys() in (names(*OLD, SMALL), names(*OLD, LARGE))
    await assert_sound(world, *live)


async def test_what_can_not_be_rendered_is_reported_and_stops_nothing(old: World) -> None:
    world = old
    images = [await world.upload(USER) for _ in range(4)]
    missing, empty, damaged, fine = images
    await world.objects.delete([missing.main.key])
    await world.objects.put(empty.main.key, b"", "image/webp")
    await world.objects.put(damaged.main.key, b"damaged", "image/webp")
    world.pictures.refused = b"damaged"
    world.renditions = NEW
    unreadable = {"PK": "IMAGE#x", "SK": "METADATA", "type": "image"}
    await world.put(unreadable)
    state = await world.rerender()
    assert (state.images, state.rendered, state.failed) == (5, 1, 4)
    reasons = {failure.image_id: failure.reason for failure in state.failures}
    assert reasons == {
        missing.id: f"its main picture is missing: {missing.main.key}",
        empty.id: f"its main picture is missing: {empty.main.key}",
        damaged.id: f"INVALID_IMAGE: {InvalidImage().message}",
        "x": "unreadable item",
    }
    assert "rerender" not in await world.kinds()
    assert (await stored(world, fine)).renditions.keys() == names(*NEW)
    assert [await stored(world, image) for image in images[:3]] == images[:3]


@pytest.mark.parametrize("happened", [True, False])
async def test_a_commit_without_a_response(old: World, *, happened: bool) -> None:
    world = old
    image = await world.upload(USER)
    world.renditions = NEW
    other = world.healed()
    other.renditions = NEW

    async def unanswered(*args: Any, **also: Any) -> None:
        if happened:
            await world.rerenders.commit(*args, **also)
        raise OutcomeUnknown

    other.rerenders.commit = unanswered
    with pytest.raises(NotRendered):
        await other.rerenderer().bring(image)
    assert (await stored(world, image)).revision == happened
    assert set((await stored(world, image)).object_keys) <= await world.files()
    await assert_settles(world, *NEW, removed=set())


class Late:
    """Rerenders whose commits are under way when their process dies, and arrive beside the next
    hold."""

    def __init__(self, rerenders: Any) -> None:
        self._rerenders = rerenders
        self._sent: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rerenders, name)

    async def commit(self, *change: Any, until: float | None = None) -> None:
        self._sent.append(change)
        raise Crash

    async def begin(self, hold: Rerender) -> bool:
        began: bool = await self._rerenders.begin(hold)
        for change in self._sent if began else ():
            with suppress(HoldLost):
                await self._rerenders.commit(*change)
        return began


async def test_a_commit_that_arrives_when_the_same_run_goes_on(old: World) -> None:
    """The files that it names were deleted meanwhile."""
    world = old
    image = await world.upload(USER)
    world.renditions = NEW
    dying = world.healed()
    dying.renditions, dying.rerenders = NEW, Late(world.rerenders)
    for _ in range(2):
        with suppress(Crash):
            await dying.rerenderer().bring(image)
    await assert_settles(world, *NEW)


async def test_a_file_that_could_not_be_put(old: World) -> None:
    """The hold stays, for what may yet arrive; the run itself, repeated, goes on at once."""
    world = old
    image = await world.upload(USER)
    world.renditions = NEW
    other = world.healed()
    other.renditions = NEW

    async def lost(key: str, *_: Any) -> None:
        if key == SMALL.key(USER, image.id):
            raise DependencyUnavailable

    other.objects.put = lost
    (failure,) = (await other.rerender("one")).failures
    assert "DEPENDENCY_UNAVAILABLE" in failure.reason
    (failure,) = (await world.rerender("two", patience=0)).failures
    assert "another rerender holds it" in failure.reason
    assert (await world.rerender("one")).rendered == 1
    await assert_sound(world, await stored(world, image))


async def test_an_outage_ends_the_run_and_it_goes_on_where_it_was(old: World) -> None:
    world = old
    for _ in range(30):
        await world.upload(USER)
    world.renditions = NEW
    other = world.healed()
    other.renditions = NEW
    other.objects = FakeObjectStore()
    other.objects.failure = DependencyUnavailable()
    with pytest.raises(Outage):
        await other.rerender()
    state = await world.rerender()
    assert (state.rendered, state.failed) == (30, 0)
    await assert_sound(world, *await images_of(world))


async def test_a_run_that_is_stopped_leaves_nothing_and_goes_on(old: World) -> None:
    world = old
    for _ in range(10):
        await world.upload(USER)
    world.renditions = NEW
    stop, state = asyncio.Event(), Rerendering(widths=())
    rerenderer = world.rerenderer(state.owner)
    images = DynamoImages(world.table.client, world.table.name, page_items=4)
    options = Options(rate=1e6, at_once=2)
    run = Run(images, rerenderer, options, stop)
    with pytest.raises(Stopped):
        await run.go(state, lambda now: stop.set() if now.rendered == 4 else None)
    assert "rerender" not in await world.kinds()
    assert 4 <= state.rendered < 10

    kept = Rerendering.model_validate_json(state.model_dump_json(by_alias=True))
    await Run(images, rerenderer, options, asyncio.Event()).go(kept, lambda _: None)
    assert (kept.done, kept.images, kept.rendered, kept.failed) == (True, 10, 10, 0)
    await assert_sound(world, *await images_of(world))


@pytest.mark.parametrize("step", range(1, 9))
async def test_reconcile_takes_nothing_of_a_running_rerender_for_an_orphan(
    old: World, step: int
) -> None:
    world = old
    world.renditions = (*OLD, SMALL)
    image = await world.upload(USER)
    world.renditions = (*OLD, LARGE)
    found: list[Finding] = []

    async def reconcile() -> None:
        found.extend((await world.reconcile(fix=True)).findings)

    assert await meanwhile(world, step, reconcile).rerenderer().bring(image) is Outcome.RENDERED
    assert found == []
    await world.processor.drain()
    await assert_sound(world, await stored(world, image))


async def test_reconcile_finds_and_ends_an_old_hold(old: World) -> None:
    world = old
    image = await world.upload(USER)
    world.renditions = NEW
    with suppress(Crash):
        await crashing(world, 4, before=False).rerenderer().bring(image)  # both files
    world.ahead = DAY
    (finding,) = (await world.reconcile()).findings
    assert (finding.kind, finding.subject) == (FindingKind.OLD_INTENT, image.id)
    assert (await world.reconcile(fix=True)).clean
    await assert_sound(world, image)


async def test_one_that_can_not_be_read_holds_up_no_other(old: World) -> None:
    world = old
    image = await world.upload(USER)
    hold = Rerender.of(image, "dead", ("images/x.webp",), utc_now() - DAY)
    assert await world.rerenders.begin(hold)
    assert not await world.rerenders.begin(replace(hold, owner="other"))
    for shard in range(4):
        await world.put({"PK": f"RERENDER#{shard}", "SK": "0", "type": "rerender"})
    assert await world.rerender_sweeper.sweep(world.now()) == 1
    assert await world.rerenders.get(image.id) is None


async def test_an_image_that_can_not_be_read_holds_up_no_other(old: World) -> None:
    """A newer release wrote it, say; its hold stays."""
    world = old
    held = {}
    for _ in range(6):
        image = await world.upload(USER)
        held[image.id] = Rerender.of(image, "dead", ("images/x.webp",), utc_now() - DAY)
        assert await world.rerenders.begin(held[image.id])
    damaged = next(iter(held))
    (item,) = [item for item in await world.items() if item["PK"] == f"IMAGE#{damaged}"]
    await world.put(item | {"renditions": {"main": "elsewhere"}})
    assert await world.rerender_sweeper.sweep(world.now()) == 5
    assert [image_id for image_id in held if await world.rerenders.get(image_id)] == [damaged]

    world.ahead = DAY
    found = (await world.reconcile(fix=True)).findings
    assert [one.fixed for one in found if one.kind is FindingKind.OLD_INTENT] == [False]


async def test_who_stood_still_after_reading_the_image_deletes_nothing(old: World) -> None:
    """Another sweeper and another run were there, and the image names the file again."""
    world = old
    image = await world.upload(USER)
    world.renditions = (*OLD, SMALL)
    with suppress(Crash):
        await crashing(world, 3, before=False).rerenderer().bring(image)  # its file is there
    hold = await world.rerenders.get(image.id)
    assert hold is not None

    class Standing:
        async def get(self, image_id: str) -> Image | None:
            read: Image | None = await world.repository.get(image_id)
            world.ahead = DAY
            await world.rerender_sweeper.sweep(world.now())
            assert (await world.rerender("other")).rendered == 1
            return read

    standing: Any = Standing()
    sweeper = RerenderSweeper(world.rerenders, standing, world.objects, now=world.now)
    with pytest.raises(HoldLost):
        await sweeper.settle(hold)
    await assert_sound(world, await stored(world, image))


async def test_the_cdn_forgets_files_of_live_and_of_deleted_images_in_one_batch(
    old: World,
) -> None:
    world = old
    world.renditions = (*OLD, SMALL)
    live, deleted = await world.upload(USER), await world.upload(USER)
    world.renditions = OLD
    await world.rerender()
    await world.delete(await stored(world, deleted))
    await world.processor.drain()
    (purge,) = world.cdn.invalidations
    small = [image.renditions[SMALL.name].key for image in (live, deleted)]
    assert set(purge.paths) == {
        CdnUrls.path(key) for key in (*small, deleted.main.key, deleted.thumbnail.key)
    }
    assert {item["id"] for item in await world.items() if item["type"] == "image"} == {live.id}
    world.ahead = DAY
    await world.processor.drain()  # the second look is at the deleted one alone
    await assert_sound(world, await stored(world, live))


async def test_a_worker_clears_away_what_a_dead_run_left(old: World) -> None:
    world = old
    image = await world.upload(USER)
    world.renditions = NEW
    with suppress(Crash):
        await crashing(world, 4, before=False).rerenderer().bring(image)
    assert len(await world.files()) == 4
    world.ahead = DAY
    telemetry = Telemetry()
    worker = Worker(
        processor=world.processor,
        sweeper=world.sweeper,
        rerenders=world.rerender_sweeper,
        sweep_every=0.01,
        telemetry=telemetry,
        now=world.now,
    )
    worker.start()
    swept = b'orphans_found_total{kind="rerender"} 1.0'
    while swept not in telemetry.render("")[0]:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    await worker.aclose()
    await assert_sound(world, image)


async def test_caches_show_the_renditions_of_today(old: World, redis_url: str) -> None:
    """Of images and of pages, for the tasks that serve and for the run alike."""
    world = old
    async with open_redis(redis_url) as serving, open_redis(redis_url) as running:
        cache = RedisImageCache(
            serving, add_purge=world.outbox.add_cache_purge, telemetry=Telemetry()
        )
        world.cache = cache
        image = await world.upload(USER)
        requests, alice, query = library(world), caller(USER), ListQuery(limit=5)
        async with Redis.from_url(redis_url) as raw:  # the seconds after a write are over
            await raw.hset(f"user:{USER}:generation", "pages_from", 0)
        for _ in range(2):
            assert await requests.get(alice, image.id) == image
            assert (await requests.list(alice, query)).page.images == (image,)
        world.renditions = NEW
        world.cache = RedisImageCache(
            running, add_purge=world.outbox.add_cache_purge, telemetry=Telemetry()
        )
        await world.rerender()
        now = await stored(world, image)
        assert now.revision == 1
        assert await requests.get(alice, image.id) == now
        assert (await requests.list(alice, query)).page.images == (now,)


async def test_no_file_comes_back_while_its_deletion_may_be_on_its_way(old: World) -> None:
    """S3 was asked twice, and may carry out the first request when it likes."""
    world = old
    world.renditions = (*OLD, SMALL)
    image = await world.upload(USER)
    removing = world.healed()
    removing.renditions = OLD
    delete, on_their_way = removing.objects.delete, list[str]()

    async def asked_twice(keys: Sequence[str]) -> bool:
        await delete(keys)
        on_their_way.extend(keys)
        return False

    removing.objects.delete = asked_twice
    assert (await removing.rerender("one")).rendered == 1
    for owner in ("one", "two"):
        (failure,) = (await world.rerender(owner, patience=0)).failures
        assert "another rerender holds it" in failure.reason
    assert on_their_way == [image.renditions[SMALL.name].key]
    await delete(on_their_way)

    world.ahead = DAY
    await world.rerender_sweeper.sweep(world.now())
    assert (await world.rerender()).rendered == 1
    await world.processor.drain()
    await assert_sound(world, await stored(world, image))


async def test_files_of_an_old_image_are_looked_for_once_more_where_they_are_young(
    old: World,
) -> None:
    world = old
    for revised in (False, True):
        image = make_image(USER, at=utc_now() - 2 * DAY)
        await world.repository.add(image)
        for key in image.object_keys:
            await world.objects.put(key, b"picture", "image/webp")
        if revised:
            world.renditions = (*NEW, *table())
            assert (await world.rerender()).rendered == 1
            image = await stored(world, image)
        await world.delete(image)
        await world.processor.drain()
        for key in image.object_keys:  # by writes that were long on their way
            await world.objects.put(key, b"late", "image/webp")
        world.ahead = DAY
        for _ in range(2):
            await world.processor.drain()
        assert bool(await world.files()) is not revised
        await world.objects.delete(sorted(await world.files()))
        world.ahead = timedelta(0)
