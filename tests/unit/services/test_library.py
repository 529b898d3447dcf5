from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests import virtual_time
from tests.fakes import (
    FakeImageLists,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    StoredObject,
)
from tests.unit.builders import LATER, caller, make_image

from image_service.adapters.redis.counting import NullCache
from image_service.domain.errors import (
    DependencyUnavailable,
    ImageNotFound,
    ImageServiceError,
    NotAuthorized,
    PreconditionMismatch,
    VersionMismatch,
    VersionRequired,
)
from image_service.domain.images import ExpectedVersion, Image, ImageChanges
from image_service.domain.listing import ListQuery
from image_service.domain.outbox import Clearing, Step
from image_service.services.deletions import DeletionService
from image_service.services.library import Library
from image_service.telemetry.telemetry import Telemetry

ALICE, BOB = caller("alice"), caller("bob")
ANY = ExpectedVersion(if_match="*")
NOTHING = ExpectedVersion()
NEW_TITLE = ImageChanges(title="New")


class Parts:
    def __init__(self) -> None:
        self.table = FakeTable()
        self.repository = FakeImageRepository(self.table)
        self.untils: list[float | None] = []  # of the writes that `overtaken` sees
        self.objects = FakeObjectStore()
        self.outbox = FakeOutbox(self.table)
        self.deletions = DeletionService(
            objects=self.objects, outbox=self.outbox, now=lambda: LATER
        )
        self.library = Library(
            repository=self.repository,
            lists=FakeImageLists(self.table),
            cache=NullCache(Telemetry()),
            deletions=self.deletions,
            now=lambda: LATER,
        )

    def holding(self, image: Image) -> Image:
        self.table.images[image.id] = image
        for key in image.object_keys:
            self.objects.objects[key] = StoredObject(b"", "image/webp")
        return image


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_only_the_owner_gets_reads_edits_and_deletes(parts: Parts):
    image = parts.holding(make_image("alice"))
    library = parts.library
    assert await library.get(ALICE, image.id) == image
    with pytest.raises(NotAuthorized):
        await library.get(BOB, image.id)
    with pytest.raises(NotAuthorized):
        await library.update(BOB, image.id, NEW_TITLE, ANY)
    with pytest.raises(NotAuthorized):
        await library.delete(BOB, image.id, ANY)
    assert parts.table.images == {image.id: image}
    assert (await library.list(BOB, ListQuery())).page.images == ()


@pytest.mark.parametrize("image_id", ["", "x", "..", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
async def test_an_unknown_id_is_not_found(parts: Parts, image_id: str):
    with pytest.raises(ImageNotFound):
        await parts.library.get(ALICE, image_id)


async def test_an_edit_is_the_next_version(parts: Parts):
    image = parts.holding(make_image())
    edited = await parts.library.update(ALICE, image.id, NEW_TITLE, ExpectedVersion(body=1))
    assert edited == replace(image, title="New", version=2, updated_at=LATER)
    assert parts.table.images[image.id] == edited


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (NOTHING, VersionRequired),
        (ExpectedVersion(body=2), VersionMismatch),
        (ExpectedVersion(if_match=frozenset({"2"})), PreconditionMismatch),
        (ExpectedVersion(body=1, if_match=frozenset({"2"})), PreconditionMismatch),
        (ExpectedVersion(body=2, if_match=frozenset({"1"})), VersionMismatch),
        (ExpectedVersion(body=2, if_match="*"), VersionMismatch),
    ],
)
async def test_a_missing_or_stale_version(
    parts: Parts, expected: ExpectedVersion, error: type[ImageServiceError]
):
    image = parts.holding(make_image())
    with pytest.raises(error) as raised:
        await parts.library.update(ALICE, image.id, NEW_TITLE, expected)
    assert type(raised.value) is error
    assert parts.table.images[image.id] == image


def overtaken(parts: Parts, image: Image, times: int) -> None:
    """Somebody else edits just before each of the next `times` writes."""
    update, mark_deleted = parts.repository.update, parts.repository.mark_deleted
    left = times

    def overtake() -> None:
        nonlocal left
        if left:
            left -= 1
            current = parts.table.images[image.id]
            parts.table.images[image.id] = replace(current, version=current.version + 1)

    async def late_update(before: Image, after: Image, *, until: float | None) -> None:
        parts.untils.append(until)
        overtake()
        await update(before, after, until=until)

    async def late_mark(image: Image, at, *, until: float | None):
        parts.untils.append(until)
        overtake()
        return await mark_deleted(image, at, until=until)

    parts.repository.update = late_update  # type: ignore[method-assign] # to lose the race
    parts.repository.mark_deleted = late_mark  # type: ignore[method-assign] # the same


async def test_a_lost_race_is_reported_as_it_was_asked(parts: Parts):
    image = parts.holding(make_image())
    overtaken(parts, image, times=1)
    with pytest.raises(PreconditionMismatch) as by_header:
        await parts.library.update(
            ALICE, image.id, NEW_TITLE, ExpectedVersion(if_match=frozenset({"1"}))
        )
    assert by_header.value.current_version == 2
    overtaken(parts, image, times=1)
    with pytest.raises(VersionMismatch) as by_body:
        await parts.library.update(ALICE, image.id, NEW_TITLE, ExpectedVersion(body=2))
    assert type(by_body.value) is VersionMismatch
    assert by_body.value.current_version == 3
    overtaken(parts, image, times=1)
    with pytest.raises(VersionMismatch) as by_both:
        await parts.library.update(
            ALICE, image.id, NEW_TITLE, ExpectedVersion(body=3, if_match="*")
        )
    assert type(by_both.value) is VersionMismatch
    assert by_both.value.current_version == 4


async def test_an_edit_that_meets_a_deletion_finds_nothing(parts: Parts):
    image = parts.holding(make_image())
    update = parts.repository.update

    async def late_update(before: Image, after: Image, *, until: float | None) -> None:
        await parts.repository.mark_deleted(before, LATER)
        await update(before, after, until=until)

    parts.repository.update = late_update  # type: ignore[method-assign] # to lose the race
    with pytest.raises(ImageNotFound):
        await parts.library.update(ALICE, image.id, NEW_TITLE, ANY)


async def test_an_edit_of_any_version_starts_over_after_a_lost_race(parts: Parts):
    image = parts.holding(make_image())
    overtaken(parts, image, times=3)
    edited = await parts.library.update(ALICE, image.id, NEW_TITLE, ANY)
    assert edited.version == 5


@pytest.mark.parametrize("held", [True, False], ids=["in this task", "in others"])
async def test_a_write_of_any_version_that_never_gets_a_turn_is_a_conflict(
    parts: Parts, *, held: bool
):
    parts.library._patience = 0.1
    image = parts.holding(make_image())
    overtaken(parts, image, times=0 if held else 1000)
    turn = parts.library._turns.setdefault(("alice", image.id), asyncio.Lock())
    if held:
        await turn.acquire()
    with pytest.raises(PreconditionMismatch, match="keeps being changed") as edit:
        await parts.library.update(ALICE, image.id, NEW_TITLE, ANY)
    assert edit.value.current_version >= 1
    with pytest.raises(VersionMismatch) as deletion:
        await parts.library.delete(ALICE, image.id, NOTHING)
    assert type(deletion.value) is VersionMismatch


@pytest.mark.parametrize("write", ["update", "delete"])
async def test_all_tries_of_a_write_end_with_the_first_one_s_time(parts: Parts, write: str):
    image = parts.holding(make_image())
    overtaken(parts, image, times=3)
    arguments = {"update": [NEW_TITLE, ANY], "delete": [NOTHING]}[write]
    await getattr(parts.library, write)(ALICE, image.id, *arguments)
    assert len(parts.untils) == 4
    [until] = set(parts.untils)
    assert until is not None
    assert until < asyncio.get_running_loop().time() + 9


@virtual_time.MARK
async def test_who_may_not_write_an_image_delays_nobody_who_may(parts: Parts):
    image = parts.holding(make_image())
    turn = parts.library._turns.setdefault(("mallory", image.id), asyncio.Lock())
    await turn.acquire()
    async with asyncio.timeout(1):
        assert (await parts.library.update(ALICE, image.id, NEW_TITLE, ANY)).version == 2


async def test_delete_clears_the_files_and_leaves_the_edges_to_the_worker(parts: Parts):
    image = parts.holding(make_image("al|ce"))
    await parts.library.delete(caller("al|ce"), image.id, NOTHING)
    await parts.deletions.aclose()
    assert parts.table.images == {}
    assert parts.objects.objects == {}
    (entry,) = parts.table.outbox.values()
    assert entry.due_at == LATER
    assert isinstance(entry.work, Clearing)
    assert (entry.work.step, entry.work.deletions[0].image_id) == (Step.CDN, image.id)


@pytest.mark.parametrize("broken", ["objects", "outbox"])
async def test_delete_is_done_even_where_clearing_fails(parts: Parts, broken: str):
    image = parts.holding(make_image())
    getattr(parts, broken).failure = DependencyUnavailable()
    await parts.library.delete(ALICE, image.id, NOTHING)
    await parts.deletions.aclose()
    assert parts.table.images == {}
    (entry,) = parts.table.outbox.values()  # for whoever finishes it
    assert isinstance(entry.work, Clearing)
    assert entry.work.step is Step.OBJECTS


@virtual_time.MARK
async def test_delete_does_not_wait_for_a_store_that_says_nothing(parts: Parts):
    image = parts.holding(make_image())

    async def silent(keys: tuple[str, ...]) -> None:
        await asyncio.Event().wait()

    parts.objects.delete = silent  # type: ignore[method-assign] # neither yes nor no
    parts.deletions._patience = 0.05
    async with asyncio.timeout(0.5):
        await parts.library.delete(ALICE, image.id, NOTHING)
    async with asyncio.timeout(60):
        await parts.deletions.aclose()
    assert parts.table.images == {}
    assert len(parts.table.outbox) == 1


@virtual_time.MARK
async def test_deletions_do_not_pile_up_behind_a_store_that_says_nothing(parts: Parts):
    asked = []

    async def silent(keys: tuple[str, ...]) -> None:
        asked.append(keys)
        await asyncio.Event().wait()

    parts.objects.delete = silent  # type: ignore[method-assign] # neither yes nor no
    parts.deletions._patience = 0.05
    for _ in range(150):
        image = parts.holding(make_image())
        await parts.library.delete(ALICE, image.id, NOTHING)
    await parts.deletions.aclose()
    assert len(asked) == 20
    assert len(parts.table.outbox) == 150  # all are the worker's now


async def test_delete_without_a_version_outlasts_a_race_but_not_with_one(parts: Parts):
    image = parts.holding(make_image())
    overtaken(parts, image, times=1)
    with pytest.raises(PreconditionMismatch):
        await parts.library.delete(ALICE, image.id, ExpectedVersion(if_match=frozenset({"1"})))
    overtaken(parts, image, times=2)
    await parts.library.delete(ALICE, image.id, NOTHING)
    assert parts.table.images == {}


async def test_totals_come_where_a_counter_knows_them(parts: Parts):
    parts.holding(make_image(album_id="a", tags=("red",)))
    parts.holding(make_image())
    library = parts.library
    assert (await library.list(ALICE, ListQuery())).total == 2
    assert (await library.list(ALICE, ListQuery(album_id="a"))).total == 1
    assert (await library.list(ALICE, ListQuery(tags=("red",)))).total is None
    assert (await library.list(ALICE, ListQuery(uploaded_after=LATER))).total is None
