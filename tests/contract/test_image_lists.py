from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.contract.conftest import ImageStores
from tests.contract.samples import all_pages, ids, make_image, moment

from image_service.domain.images import Image
from image_service.domain.listing import ListQuery, Page, Position, SortOrder
from image_service.ports import ImageLists, ImageRepository

ORDERS: tuple[SortOrder, ...] = ("asc", "desc")


async def stored(repository: ImageRepository, user: str, count: int, **fields: Any) -> list[Image]:
    """`count` images a second apart, oldest first."""
    images = [make_image(user, at=moment(second), **fields) for second in range(count)]
    for image in images:
        await repository.add(image)
    return images


async def test_newest_first_unless_asked_otherwise(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    images = await stored(repository, user, 3)

    assert (await lists.page(user, ListQuery())).images == tuple(reversed(images))
    assert (await lists.page(user, ListQuery(order="asc"))).images == tuple(images)


async def test_nobody_and_nothing(lists: ImageLists, user: str) -> None:
    for query in (ListQuery(), ListQuery(album_id="castles"), ListQuery(tags=("lego",))):
        assert await lists.page(user, query) == Page((), None)
    assert await lists.count(user, None) == 0
    assert await lists.count(user, "castles") == 0


@pytest.mark.parametrize("filters", [{}, {"album_id": "castles"}, {"tags": ("lego",)}])
async def test_after_is_inclusive_before_exclusive(
    repository: ImageRepository, lists: ImageLists, user: str, filters: dict[str, Any]
) -> None:
    images = await stored(repository, user, 4, album_id="castles")
    query = ListQuery(
        order="asc",
        uploaded_after=moment(1),
        uploaded_before=moment(3),
        **filters,
    )

    assert ids(await lists.page(user, query)) == [images[1].id, images[2].id]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filters", [{}, {"album_id": "castles"}, {"tags": ("lego",)}])
@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (100, 200)])
async def test_an_empty_range(
    repository: ImageRepository,
    lists: ImageLists,
    user: str,
    order: SortOrder,
    filters: dict[str, Any],
    bounds: tuple[int, int],
) -> None:
    after, before = bounds
    await stored(repository, user, 3, album_id="castles")
    query = ListQuery(
        order=order,
        uploaded_after=moment(after),
        uploaded_before=moment(before),
        **filters,
    )

    assert await lists.page(user, query) == Page((), None)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filters", [{}, {"album_id": "castles"}, {"tags": ("lego",)}])
async def test_a_list_goes_on_behind_an_image_that_is_gone(
    repository: ImageRepository,
    lists: ImageLists,
    user: str,
    order: SortOrder,
    filters: dict[str, Any],
) -> None:
    images = await stored(repository, user, 4, album_id="castles")
    in_order = images if order == "asc" else images[::-1]
    query = ListQuery(limit=2, order=order, **filters)
    first = await lists.page(user, query)
    (gone,) = (await repository.mark_deleted(in_order[1], moment(9))).deletions
    await repository.forget(gone)

    second = await lists.page(user, replace(query, start=first.next_position))

    assert ids(second) == [image.id for image in in_order[2:]]
    assert second.next_position is None


async def test_tags_are_compared_folded_and_all_must_match(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image = make_image(user, tags=("LEGO", "Straße", "Cafe\u0301"))
    await repository.add(image)

    found: list[tuple[str, ...]] = [("lego",), ("STRASSE",), ("café",), ("Lego", "straße", "CAFÉ")]
    for tags in found:
        assert ids(await lists.page(user, ListQuery(tags=tags))) == [image.id]
    missed: list[tuple[str, ...]] = [("leg",), ("lego", "city"), ("city", "lego")]
    for tags in missed:
        assert ids(await lists.page(user, ListQuery(tags=tags))) == []


async def test_more_images_than_one_batch_holds(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    images = await stored(repository, user, 102, tags=("lego",))

    page = await lists.page(user, ListQuery(limit=100, tags=("lego",), order="asc"))

    assert ids(page) == [image.id for image in images[:100]]
    assert page.next_position == Position(images[99].uploaded_at, images[99].id)
    rest = await lists.page(
        user, ListQuery(limit=100, tags=("lego",), order="asc", start=page.next_position)
    )
    assert ids(rest) == [image.id for image in images[100:]]
    assert rest.next_position is None


async def test_a_full_last_page_has_no_more(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    await stored(repository, user, 4, album_id="castles", tags=("lego",))

    for query in (
        ListQuery(limit=4),
        ListQuery(limit=4, album_id="castles"),
        ListQuery(limit=4, tags=("lego",)),
    ):
        page = await lists.page(user, query)
        assert len(page.images) == 4
        assert page.next_position is None


async def test_looking_stops_at_the_bound(stores: ImageStores, user: str) -> None:
    for second in range(12):
        tags = ("lego", "rare") if second in {1, 8, 11} else ("lego",)
        await stores.repository.add(make_image(user, at=moment(second), tags=tags))
    lists = stores.bounded(5)
    query = ListQuery(limit=2, tags=("lego", "rare"), order="asc")

    pages = await all_pages(lists, user, query)

    assert [len(page.images) for page in pages] == [1, 1, 1]
    assert [page.next_position and page.next_position.uploaded_at for page in pages] == [
        moment(4),
        moment(9),
        None,
    ]


async def test_the_bound_at_the_very_end_is_the_end(stores: ImageStores, user: str) -> None:
    await stored(stores.repository, user, 5, tags=("lego",))

    page = await stores.bounded(5).page(user, ListQuery(tags=("lego", "rare")))

    assert page == Page((), None)


def every_query(images: list[Image]) -> Iterator[ListQuery]:
    times = sorted(image.uploaded_at for image in images)
    ranges: list[tuple[datetime | None, datetime | None]] = [
        (None, None),
        (times[3], None),
        (None, times[-4]),
        (times[3], times[-4]),
    ]
    albums = (None, "castles", "cars")
    tags: tuple[tuple[str, ...], ...] = ((), ("lego",), ("TECHNIC", "lego"), ("lego", "none"))
    for (after, before), album, wanted, order in itertools.product(ranges, albums, tags, ORDERS):
        yield ListQuery(
            uploaded_after=after, uploaded_before=before, album_id=album, tags=wanted, order=order
        )


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_pages_add_up_under_every_filter(
    repository: ImageRepository, lists: ImageLists, user: str, seed: int
) -> None:
    chance = random.Random(seed)
    images = [
        make_image(
            user,
            at=moment(chance.choice([0, 0.001, 1, 2, 3600, 86_400, 90_000])),
            album_id=chance.choice([None, "castles", "cars"]),
            tags=tuple(chance.sample(["Lego", "technic", "city"], chance.randint(0, 3))),
        )
        for _ in range(23)
    ]
    for image in images:
        await repository.add(image)

    for query in every_query(images):
        expected = [
            image.id
            for image in sorted(
                filter(query.matches, images),
                key=lambda image: (image.uploaded_at, image.id),
                reverse=query.order == "desc",
            )
        ]
        for limit in {1, chance.randint(2, 22), len(expected) or 1, 100}:
            pages = await all_pages(lists, user, replace(query, limit=limit))
            assert ids(*pages) == expected, (query, limit)
            assert all(len(page.images) == limit for page in pages[:-1]), (query, limit)
            assert pages[-1].images or not expected, (query, limit)
