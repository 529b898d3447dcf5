"""Many hands on the same images, albums and counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable

from tests.contract.samples import all_pages, ids, make_image, moment
from tests.integration.table import Table

from image_service.domain.errors import ImageNotFound, VersionMismatch
from image_service.domain.images import Image
from image_service.domain.listing import ListQuery
from image_service.domain.outbox import OutboxEntry


async def outcomes(calls: Iterable[Awaitable[object]]) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def add_all(table: Table, images: Iterable[Image]) -> None:
    await asyncio.gather(*(table.repository.add(image) for image in images))


async def test_fifty_adds_at_once_all_count(table: Table, user: str) -> None:
    images = [make_image(user, at=moment(n), album_id="castles") for n in range(50)]

    await add_all(table, images)

    size = sum(image.stored_bytes for image in images)
    for sort in ("USAGE", "USAGE#ALBUM#castles"):
        usage = await table.item(f"USER#{user}", sort)
        assert (usage["imageCount"], usage["totalBytes"]) == (50, size)
    for query in (
        ListQuery(limit=50),
        ListQuery(limit=50, album_id="castles"),
        ListQuery(limit=50, tags=("lego",)),
    ):
        page = await table.lists.page(user, query)
        assert set(ids(page)) == {image.id for image in images}


async def test_of_concurrent_updates_one_wins(table: Table, user: str) -> None:
    image = make_image(user, album_id="start")
    await table.repository.add(image)
    edits = [
        image.edited({"title": f"{n}", "album_id": f"album-{n}", "tags": (f"tag-{n}",)}, moment(n))
        for n in range(10)
    ]

    results = await outcomes(table.repository.update(image, edit) for edit in edits)

    assert results.count(None) == 1
    losers = [result for result in results if result is not None]
    assert all(isinstance(loser, VersionMismatch) for loser in losers)
    winner = edits[results.index(None)]
    assert await table.repository.get(image.id) == winner
    # What the losers would have written to indexes and counters is not there.
    usage = await table.partition(f"USER#{user}")
    assert {item["SK"]: item["imageCount"] for item in usage} == {
        "USAGE": 1,
        f"USAGE#ALBUM#{winner.album_id}": 1,
    }
    for edit in edits:
        pointers = await table.partition(f"TAG#{user}#{edit.tags[0]}")
        assert len(pointers) == (edit == winner)


async def test_delete_against_update(table: Table, user: str) -> None:
    images = [make_image(user, at=moment(n), album_id="castles") for n in range(10)]
    await add_all(table, images)
    edits = [image.edited({"album_id": "cars"}, moment(60)) for image in images]

    deleted = outcomes(table.repository.mark_deleted(image, moment(60)) for image in images)
    updated = outcomes(
        table.repository.update(image, edit) for image, edit in zip(images, edits, strict=True)
    )
    deletions, updates = await asyncio.gather(deleted, updated)

    kept = 0
    for image, edit, deletion, update in zip(images, edits, deletions, updates, strict=True):
        if isinstance(deletion, OutboxEntry):
            assert isinstance(update, ImageNotFound)
            assert await table.repository.get(image.id) is None
        else:
            assert isinstance(deletion, VersionMismatch)
            assert update is None
            assert await table.repository.get(image.id) == edit
            kept += 1
    assert await table.lists.count(user, None) == kept
    assert await table.lists.count(user, "cars") == kept
    assert await table.lists.count(user, "castles") == 0


async def test_of_concurrent_deletes_one_wins(table: Table, user: str) -> None:
    image, neighbour = make_image(user, album_id="a"), make_image(user, album_id="a")
    await add_all(table, [image, neighbour])

    results = await outcomes(table.repository.mark_deleted(image, moment(n)) for n in range(10))

    assert Counter(type(result) for result in results) == {OutboxEntry: 1, ImageNotFound: 9}
    assert await table.lists.count(user, None) == 1
    assert await table.lists.count(user, "a") == 1


async def test_an_albums_counter_goes_with_its_last_image(table: Table, user: str) -> None:
    images = [make_image(user, at=moment(n), album_id="castles") for n in range(12)]
    await add_all(table, images)

    await asyncio.gather(*(table.repository.mark_deleted(image, moment(60)) for image in images))

    assert await table.item(f"USER#{user}", "USAGE#ALBUM#castles") == {}
    usage = await table.item(f"USER#{user}", "USAGE")
    assert (usage["imageCount"], usage["totalBytes"]) == (0, 0)


async def test_an_album_emptied_while_it_is_filled(table: Table, user: str) -> None:
    """The counter swings around one, where each guess at its end may be wrong."""
    leaving = [make_image(user, at=moment(n), album_id="castles") for n in range(6)]
    coming = [make_image(user, at=moment(n), album_id="castles") for n in range(6)]
    await table.repository.add(leaving[0])

    async def leave(image: Image) -> None:
        if image is not leaving[0]:
            await table.repository.add(image)
        await table.repository.mark_deleted(image, moment(60))

    await asyncio.gather(
        *(leave(image) for image in leaving),
        *(table.repository.add(image) for image in coming),
    )

    usage = await table.item(f"USER#{user}", "USAGE#ALBUM#castles")
    size = sum(image.stored_bytes for image in coming)
    assert (usage["imageCount"], usage["totalBytes"]) == (6, size)


async def test_listing_while_images_are_deleted(table: Table, user: str) -> None:
    images = [make_image(user, at=moment(n), album_id="castles") for n in range(40)]
    await add_all(table, images)
    doomed = images[1::2]

    async def delete() -> None:
        for image in doomed:
            (gone,) = (await table.repository.mark_deleted(image, moment(60))).deletions
            await table.repository.forget(gone)

    async def walk(query: ListQuery) -> list[str]:
        return ids(*await all_pages(table.lists, user, query))

    walks = [
        walk(ListQuery(limit=3, tags=("lego",))),
        walk(ListQuery(limit=3, order="asc", tags=("lego",), album_id="castles")),
        walk(ListQuery(limit=3)),
        walk(ListQuery(limit=3, album_id="castles", order="asc")),
    ]
    _, seen = await asyncio.gather(delete(), asyncio.gather(*walks))

    stay = {image.id for image in images[::2]}
    for listed in seen:
        assert len(listed) == len(set(listed))
        assert stay <= set(listed)
    for query in (ListQuery(limit=7), ListQuery(limit=7, tags=("lego",))):
        assert set(await walk(query)) == stay
