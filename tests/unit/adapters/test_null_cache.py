"""Without Redis: nothing is kept, but the hits there would have been are counted."""

from __future__ import annotations

import pytest
from tests.scraping import Samples
from tests.unit.builders import make_image

from image_service.adapters.redis.counting import NullCache
from image_service.domain.listing import Listing, ListQuery, Page
from image_service.telemetry.telemetry import Telemetry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Shadow:
    def __init__(self) -> None:
        self.clock = Clock()
        self.telemetry = Telemetry()
        self.cache = NullCache(self.telemetry, clock=self.clock)
        self.counted: dict[tuple[str, str], float] = {}
        self.image = make_image("alice")

    async def get(self, user: str = "alice") -> str:
        async def read():
            return self.image

        assert await self.cache.image(user, self.image.id, read) is self.image
        return self._outcome("image")

    async def list(self, user: str = "alice", **query) -> str:
        await self.read_page(user, **query)
        return self._outcome("page")

    async def read_page(self, user: str, **query) -> None:
        listing = Listing(Page((), None), 0)

        async def read():
            return listing

        assert await self.cache.listing(user, ListQuery(**query), read) is listing

    async def write(self, user: str = "alice") -> None:
        async with self.cache.writing(user, self.image.id):
            pass

    def _outcome(self, part: str) -> str:
        """Of the one read since it was last asked for."""
        samples, counted = Samples.of(self.telemetry), self.counted
        self.counted = {
            (of, result): samples("cache_requests_total", part=of, result=f"would_{result}")
            for of in ("image", "page")
            for result in ("hit", "miss")
        }
        [(read, result)] = [
            key for key, number in self.counted.items() if number != counted.get(key, 0)
        ]
        assert read == part
        return result


@pytest.fixture
def shadow() -> Shadow:
    return Shadow()


async def test_an_image_would_be_kept_for_an_hour(shadow: Shadow):
    assert [await shadow.get() for _ in range(3)] == ["miss", "hit", "hit"]
    shadow.clock.now = 3599
    assert await shadow.get() == "hit"
    shadow.clock.now = 3601
    assert await shadow.get() == "miss"
    assert await shadow.get() == "hit"
    await shadow.write()
    assert await shadow.get() == "miss"


async def test_the_image_of_another_would_not_be_kept(shadow: Shadow):
    assert [await shadow.get("bob") for _ in range(2)] == ["miss", "miss"]


async def test_a_page_would_be_kept_for_five_minutes(shadow: Shadow):
    assert [await shadow.list() for _ in range(2)] == ["miss", "hit"]
    assert await shadow.list(limit=5) == "miss"
    assert await shadow.list("bob") == "miss"
    shadow.clock.now = 299
    assert await shadow.list() == "hit"
    shadow.clock.now = 301
    assert await shadow.list() == "miss"


async def test_after_a_write_pages_would_not_be_kept_for_a_while(shadow: Shadow):
    await shadow.list()
    await shadow.list("bob")
    await shadow.write()
    assert [await shadow.list() for _ in range(2)] == ["miss", "miss"]
    assert await shadow.list("bob") == "hit"
    shadow.clock.now = 5.1
    assert [await shadow.list() for _ in range(2)] == ["miss", "hit"]


async def test_what_it_remembers_is_bounded(shadow: Shadow):
    for number in range(25_000):
        await shadow.read_page(f"user-{number}")
    assert len(shadow.cache._pages) == 20_000
