from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.conftest import ImageStores
from tests.contract.samples import make_image, moment

from image_service.domain.usage import AlbumAmount, AlbumPage, AlbumQuery, Amount
from image_service.ports import ImageRepository, UsageCounters

ONE = Amount(1, 380_000)  # what `make_image` makes


@pytest.fixture
def counters(stores: ImageStores) -> UsageCounters:
    return stores.usage


async def all_albums(counters: UsageCounters, user: str, limit: int) -> list[AlbumAmount]:
    found: list[AlbumAmount] = []
    query = AlbumQuery(limit)
    while True:
        page = await counters.albums(user, query)
        assert len(page.albums) == limit or not page.more
        found += page.albums
        if not page.more:
            return found
        query = replace(query, after=found[-1].album_id)


async def test_nobody(counters: UsageCounters, user: str) -> None:
    assert await counters.total(user) == Amount(0, 0)
    assert await counters.albums(user, AlbumQuery(10)) == AlbumPage([], more=False)


async def test_stored_bytes_are_counted(
    repository: ImageRepository, counters: UsageCounters, user: str
) -> None:
    image = make_image(user, album_id="castles", file_size=9_999_999)
    await repository.add(image)
    await repository.add(make_image(user))

    assert image.stored_bytes == ONE.size_bytes
    assert await counters.total(user) == Amount(2, 2 * ONE.size_bytes)
    page = await counters.albums(user, AlbumQuery(10))
    assert list(page.albums) == [AlbumAmount("castles", ONE)]


async def test_an_empty_album_is_not_there(
    repository: ImageRepository, counters: UsageCounters, user: str
) -> None:
    image = make_image(user, album_id="castles")
    await repository.add(image)
    await repository.mark_deleted(image, moment(1))

    assert await counters.total(user) == Amount(0, 0)
    assert await counters.albums(user, AlbumQuery(10)) == AlbumPage([], more=False)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_albums_by_id_in_exact_pages(
    repository: ImageRepository, counters: UsageCounters, user: str, limit: int
) -> None:
    names = ["-", "0", "A", "Z", "_", "a" * 64]
    for name in reversed(names):
        await repository.add(make_image(user, album_id=name))
    await repository.add(make_image(f"{user}x", album_id="theirs"))

    assert await all_albums(counters, user, limit) == [AlbumAmount(name, ONE) for name in names]


async def test_a_page_begins_after_an_album_that_is_gone(
    repository: ImageRepository, counters: UsageCounters, user: str
) -> None:
    for name in ("a", "c"):
        await repository.add(make_image(user, album_id=name))

    page = await counters.albums(user, AlbumQuery(10, after="b"))
    assert [album.album_id for album in page.albums] == ["c"]
    assert not (await counters.albums(user, AlbumQuery(10, after="c"))).albums
