from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.contract.samples import ids, make_image, moment

from image_service.domain.errors import DependencyUnavailable, ImageNotFound, VersionMismatch
from image_service.domain.images import Deletion, new_image_id
from image_service.domain.listing import ListQuery
from image_service.domain.outbox import Clearing, Step
from image_service.domain.renditions import MAIN
from image_service.domain.usage import Amount
from image_service.ports import ImageLists, ImageRepository, UsageCounters

BARE: dict[str, Any] = {
    "original_filename": None,
    "title": None,
    "description": None,
    "alt_text": None,
    "tags": (),
}


async def listed(lists: ImageLists, user: str, **filters: Any) -> list[str]:
    return ids(await lists.page(user, ListQuery(limit=100, **filters)))


@pytest.mark.parametrize(
    "fields",
    [{}, {"album_id": "castles_1-a"}, BARE, {"title": "", "tags": tuple(map(str, range(20)))}],
    ids=["no album", "all", "bare", "empty text and many tags"],
)
async def test_get_returns_what_was_added(
    repository: ImageRepository, user: str, fields: dict[str, Any]
) -> None:
    image = make_image(user, **fields)

    await repository.add(image)

    assert await repository.get(image.id) == image


async def test_get_of_the_unknown(repository: ImageRepository) -> None:
    assert await repository.get(new_image_id(moment())) is None


async def test_an_id_is_taken_once(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image = make_image(user, album_id="castles")
    await repository.add(image)

    with pytest.raises(DependencyUnavailable):
        await repository.add(replace(image, title="Other", album_id="cars", tags=("cars",)))

    assert await repository.get(image.id) == image
    assert await lists.count(user, None) == 1
    assert await lists.count(user, "cars") == 0
    assert await listed(lists, user, tags=("cars",)) == []


async def test_an_id_stays_taken_while_it_is_deleted(
    repository: ImageRepository, user: str
) -> None:
    image = make_image(user)
    await repository.add(image)
    await repository.mark_deleted(image, moment(1))

    with pytest.raises(DependencyUnavailable):
        await repository.add(image)

    assert await repository.get(image.id) is None


async def test_update_replaces_every_editable_field(repository: ImageRepository, user: str) -> None:
    before = make_image(user, album_id="castles")
    await repository.add(before)
    after = before.edited(
        {
            "title": "Tower crane",
            "description": None,
            "alt_text": "Seen from below",
            "album_id": "cars",
            "tags": ("Straße", "Technic"),
        },
        moment(60),
    )

    await repository.update(before, after)

    assert await repository.get(before.id) == after
    assert after.version == 2


async def test_update_clears_and_sets_again(repository: ImageRepository, user: str) -> None:
    full = make_image(user, album_id="castles")
    cleared = full.edited(
        {"title": None, "description": None, "alt_text": None, "album_id": None, "tags": ()},
        moment(1),
    )
    again = cleared.edited({"title": "Back", "album_id": "castles", "tags": ("a",)}, moment(2))
    await repository.add(full)

    await repository.update(full, cleared)
    assert await repository.get(full.id) == cleared
    await repository.update(cleared, again)

    assert await repository.get(full.id) == again


async def test_update_of_nothing_but_the_version(repository: ImageRepository, user: str) -> None:
    image = make_image(user)
    await repository.add(image)
    same = image.edited({}, image.updated_at)

    await repository.update(image, same)

    assert await repository.get(image.id) == same


async def test_update_moves_between_albums(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image, neighbour = (make_image(user, album_id="castles") for _ in range(2))
    await repository.add(image)
    await repository.add(neighbour)
    moved = image.edited({"album_id": "cars"}, moment(1))

    await repository.update(image, moved)

    assert await lists.count(user, "castles") == 1
    assert await lists.count(user, "cars") == 1
    assert await lists.count(user, None) == 2
    assert await listed(lists, user, album_id="castles") == [neighbour.id]
    assert await listed(lists, user, album_id="cars") == [image.id]
    assert await listed(lists, user, album_id="cars", tags=("lego",)) == [image.id]
    assert await listed(lists, user, album_id="castles", tags=("lego",)) == [neighbour.id]

    await repository.update(moved, moved.edited({"album_id": None}, moment(2)))

    assert await lists.count(user, "cars") == 0
    assert await listed(lists, user, album_id="cars") == []


async def test_update_changes_tags(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image = make_image(user, tags=("lego", "crane", "old"))
    await repository.add(image)

    await repository.update(image, image.edited({"tags": ("LEGO", "crane", "new")}, moment(1)))

    assert await listed(lists, user, tags=("old",)) == []
    assert await listed(lists, user, tags=("new",)) == [image.id]
    # Pointers that stay know the new neighbours too.
    assert await listed(lists, user, tags=("crane", "new")) == [image.id]
    assert await listed(lists, user, tags=("lego", "old")) == []


async def test_update_of_a_stale_version(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    first = make_image(user)
    second = first.edited({"title": "Second"}, moment(1))
    third = second.edited({"title": "Third"}, moment(2))
    await repository.add(first)
    await repository.update(first, second)
    await repository.update(second, third)

    with pytest.raises(VersionMismatch) as caught:
        await repository.update(first, first.edited({"album_id": "x", "tags": ("x",)}, moment(3)))

    assert caught.value.current_version == 3
    assert await repository.get(first.id) == third
    assert await lists.count(user, "x") == 0
    assert await listed(lists, user, tags=("x",)) == []


async def test_a_write_that_knows_other_renditions(
    repository: ImageRepository, usage: UsageCounters, user: str
) -> None:
    """Of the same version: it would count other bytes, or leave files behind."""
    first = make_image(user, album_id="castles")
    rendered = first.rendered({MAIN: first.main})
    again = rendered.rendered(first.renditions)
    await repository.add(first)
    await repository.update(first, rendered)

    for stale in (first, again):
        with pytest.raises(VersionMismatch) as caught:
            await repository.update(stale, stale.edited({"album_id": None}, moment(1)))
        assert caught.value.current_version == 1
        with pytest.raises(VersionMismatch):
            await repository.mark_deleted(stale, moment(1))

    assert await repository.get(first.id) == rendered
    assert await usage.total(user) == Amount(1, first.main.size_bytes)
    await repository.update(rendered, again)
    edited = again.edited({"album_id": None}, moment(1))
    await repository.update(again, edited)
    assert await repository.get(first.id) == edited
    assert await usage.total(user) == Amount(1, first.stored_bytes)
    entry = await repository.mark_deleted(edited, moment(2))
    assert entry.object_keys == list(first.object_keys)


async def test_update_of_what_is_gone(repository: ImageRepository, user: str) -> None:
    never, deleted, forgotten = (make_image(user) for _ in range(3))
    await repository.add(deleted)
    await repository.mark_deleted(deleted, moment(1))
    await repository.add(forgotten)
    await repository.mark_deleted(forgotten, moment(1))
    await repository.forget(Deletion.of(forgotten))

    for image in (never, deleted, forgotten):
        with pytest.raises(ImageNotFound):
            await repository.update(image, image.edited({"title": "x"}, moment(2)))
        assert await repository.get(image.id) is None


async def test_another_users_image_is_not_changed(repository: ImageRepository, user: str) -> None:
    image = make_image(user)
    await repository.add(image)
    pretended = replace(image, user_id=f"{user}-2")

    with pytest.raises(ImageNotFound):
        await repository.update(pretended, pretended.edited({"title": "x"}, moment(1)))
    with pytest.raises(ImageNotFound):
        await repository.mark_deleted(pretended, moment(1))

    assert await repository.get(image.id) == image


async def test_deletion_says_what_is_left_to_do(repository: ImageRepository, user: str) -> None:
    image, other = make_image(user), make_image(user)
    await repository.add(image)
    await repository.add(other)

    entry = await repository.mark_deleted(image, moment(10))
    further = await repository.mark_deleted(other, moment(10))

    assert entry.work == Clearing(Step.OBJECTS, (Deletion.of(image),))
    assert entry.object_keys == list(image.object_keys)
    assert entry.due_at == moment(40)
    assert entry.id != further.id


async def test_a_deleted_image_is_nowhere(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image = make_image(user, album_id="castles")
    neighbour = make_image(user, album_id="castles")
    await repository.add(image)
    await repository.add(neighbour)

    await repository.mark_deleted(image, moment(1))

    assert await repository.get(image.id) is None
    assert await listed(lists, user) == [neighbour.id]
    assert await listed(lists, user, album_id="castles") == [neighbour.id]
    assert await listed(lists, user, tags=("lego",)) == [neighbour.id]
    assert await lists.count(user, None) == 1
    assert await lists.count(user, "castles") == 1


async def test_the_last_image_empties_the_album(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    images = [make_image(user, album_id="castles") for _ in range(3)]
    for image in images:
        await repository.add(image)
    for image in images:
        await repository.mark_deleted(image, moment(1))

    assert await lists.count(user, "castles") == 0
    assert await lists.count(user, None) == 0

    await repository.add(make_image(user, album_id="castles"))

    assert await lists.count(user, "castles") == 1


async def test_delete_of_a_stale_version(repository: ImageRepository, user: str) -> None:
    first = make_image(user)
    second = first.edited({"title": "Second"}, moment(1))
    await repository.add(first)
    await repository.update(first, second)

    with pytest.raises(VersionMismatch) as caught:
        await repository.mark_deleted(first, moment(2))

    assert caught.value.current_version == 2
    assert await repository.get(first.id) == second


async def test_delete_of_what_is_gone(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    never, deleted, forgotten = (make_image(user) for _ in range(3))
    await repository.add(deleted)
    await repository.mark_deleted(deleted, moment(1))
    await repository.add(forgotten)
    await repository.mark_deleted(forgotten, moment(1))
    await repository.forget(Deletion.of(forgotten))

    for image in (never, deleted, forgotten):
        with pytest.raises(ImageNotFound):
            await repository.mark_deleted(image, moment(2))
    assert await lists.count(user, None) == 0


async def test_forget_can_be_repeated(repository: ImageRepository, user: str) -> None:
    image = make_image(user)
    await repository.add(image)
    await repository.mark_deleted(image, moment(1))

    await repository.forget(Deletion.of(image))
    await repository.forget(Deletion.of(image))

    assert await repository.get(image.id) is None


async def test_forget_spares_a_live_image(repository: ImageRepository, user: str) -> None:
    deleted, live = make_image(user), make_image(user)
    await repository.add(deleted)
    await repository.add(live)
    await repository.mark_deleted(deleted, moment(1))

    with pytest.raises(DependencyUnavailable):
        await repository.forget(replace(Deletion.of(deleted), image_id=live.id))

    assert await repository.get(live.id) == live


async def test_users_do_not_share_albums_or_tags(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    mine, theirs = (make_image(name, album_id="castles") for name in (user, f"{user}-2"))
    await repository.add(mine)
    await repository.add(theirs)

    assert await listed(lists, user) == [mine.id]
    assert await listed(lists, user, album_id="castles") == [mine.id]
    assert await listed(lists, user, tags=("lego",)) == [mine.id]
    assert await lists.count(user, "castles") == 1
    assert await lists.count(user, None) == 1
