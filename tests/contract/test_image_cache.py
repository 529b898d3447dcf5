"""The contract of `ImageCache`: the null one and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.samples import make_image, moment

from image_service.adapters.redis import RedisImageCache, open_redis
from image_service.adapters.redis.counting import NullCache
from image_service.domain.errors import DependencyUnavailable, VersionMismatch
from image_service.domain.images import Image
from image_service.domain.listing import Listing, ListQuery, Page
from image_service.ports import ImageCache
from image_service.telemetry.telemetry import Telemetry


@pytest.fixture(params=["null", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[ImageCache]:
    if request.param == "null":
        yield NullCache(Telemetry())
        return

    async def unused(*_purge: object) -> None:
        raise AssertionError("Redis is there: nothing can be lost")

    async with open_redis(request.getfixturevalue("redis_url"), within=30) as link:
        yield RedisImageCache(link, add_purge=unused, telemetry=Telemetry())


class Store:
    """Holds one thing and counts how often it is read."""

    def __init__(self, value) -> None:
        self.value = value
        self.reads = 0

    async def read(self):
        self.reads += 1
        return self.value


def listing(*images: Image) -> Listing:
    return Listing(Page(images, None), len(images))


async def test_says_what_the_store_says(cache: ImageCache, user: str) -> None:
    image = make_image(user, album_id="castles", title=None)
    image_store, list_store = Store(image), Store(listing(image))
    for _ in range(3):
        assert await cache.image(user, image.id, image_store.read) == image
        assert await cache.listing(user, ListQuery(), list_store.read) == listing(image)


async def test_a_write_is_seen_at_once(cache: ImageCache, user: str) -> None:
    image = make_image(user)
    image_store, list_store = Store(image), Store(listing(image))
    for version in range(1, 6):
        for _ in range(2):
            assert (await cache.image(user, image.id, image_store.read)).version == version
            page = (await cache.listing(user, ListQuery(), list_store.read)).page
            assert page.images[0].version == version
        async with cache.writing(user, image.id):
            image_store.value = replace(image, version=version + 1)
            list_store.value = listing(image_store.value)
    async with cache.writing(user, image.id):
        image_store.value = None
    assert await cache.image(user, image.id, image_store.read) is None


async def test_what_is_not_there_is_looked_for_each_time(cache: ImageCache, user: str) -> None:
    image = make_image(user)
    store = Store(None)
    assert await cache.image(user, image.id, store.read) is None
    store.value = image
    assert await cache.image(user, image.id, store.read) == image


async def test_the_image_of_another_is_not_kept_under_the_caller(
    cache: ImageCache, user: str
) -> None:
    image = make_image(user)
    store = Store(image)
    for expected in (1, 2):
        assert await cache.image("stranger", image.id, store.read) == image
        assert store.reads == expected


async def test_queries_and_users_do_not_share_pages(cache: ImageCache, user: str) -> None:
    queries = [
        ListQuery(),
        ListQuery(limit=21),
        ListQuery(order="asc"),
        ListQuery(album_id="a"),
        ListQuery(tags=("a",)),
        ListQuery(tags=("a", "b")),
        ListQuery(uploaded_after=moment(1)),
        ListQuery(uploaded_before=moment(1)),
    ]
    asked = [(f"{user}{end}", query) for end in ("", ":images", ".2") for query in queries]
    for _ in range(2):
        for number, (name, query) in enumerate(asked):
            store = Store(Listing(Page((), None), number))
            assert (await cache.listing(name, query, store.read)).total == number


async def test_failures_of_the_store_pass_through(cache: ImageCache, user: str) -> None:
    image = make_image(user)

    async def down():
        raise DependencyUnavailable

    with pytest.raises(DependencyUnavailable):
        await cache.image(user, image.id, down)
    with pytest.raises(DependencyUnavailable):
        await cache.listing(user, ListQuery(), down)
    with pytest.raises(VersionMismatch):
        async with cache.writing(user, image.id):
            raise VersionMismatch(2)
    assert await cache.image(user, image.id, Store(image).read) == image


async def test_purging_is_safe_to_repeat(cache: ImageCache, user: str) -> None:
    image = make_image(user)
    store = Store(image)
    await cache.image(user, image.id, store.read)
    store.value = None
    await cache.purge(user, image.id)
    await cache.purge(user, image.id)
    assert await cache.image(user, image.id, store.read) is None
