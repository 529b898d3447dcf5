"""The whole service with Redis on, and what callers may notice of it: nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from tests.api.photos import IMAGES, upload
from tests.redis_server import RedisProxy

pytestmark = pytest.mark.slow


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def cached_app(open_app, proxy: RedisProxy) -> AsyncIterator[FastAPI]:
    # With time enough: what is tested is the cache, not how busy the machine is.
    async with open_app(redis_url=proxy.own_url, redis_timeout=5) as running:
        yield running


@pytest.fixture
async def client(new_client, user: str, cached_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(user, app=cached_app) as made:
        yield made


@pytest.fixture
async def stranger(new_client, cached_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(f"stranger-{secrets.token_hex(6)}", app=cached_app) as made:
        yield made


async def unfence(raw: Redis, user: str) -> None:
    """The few seconds after a write are over."""
    await raw.hset(f"user:{user}:generation", "pages_from", 0)


async def test_the_owner_is_checked_on_a_hit(client, stranger, raw):
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    assert (await client.get(path)).json() == image
    assert await raw.exists(f"image:{image['id']}")
    for _ in range(2):
        assert (await stranger.get(path)).status_code == 403
        assert (await stranger.patch(path, json={"version": 1})).status_code == 403
        assert (await stranger.delete(path)).status_code == 403
    assert await raw.exists(f"image:{image['id']}")  # nor can a stranger empty it
    assert (await client.get(path)).json() == image


async def test_hits_carry_the_etag_and_give_304(client, raw):
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    first = await client.get(path)
    assert await raw.exists(f"image:{image['id']}")
    hit = await client.get(path)
    assert hit.json() == first.json() == image
    assert hit.headers["ETag"] == first.headers["ETag"] == '"1"'
    assert hit.headers["Cache-Control"] == first.headers["Cache-Control"]
    unchanged = await client.get(path, headers={"If-None-Match": hit.headers["ETag"]})
    assert unchanged.status_code == 304


async def test_what_was_just_written_is_in_the_list(client, user, raw):
    known = []
    for _ in range(3):
        known.insert(0, (await upload(client))["id"])
        for _ in range(2):
            body = (await client.get(IMAGES)).json()
            assert [image["id"] for image in body["images"]] == known
            assert body["totalCount"] == len(known)
        await unfence(raw, user)
        await client.get(IMAGES)
        assert await raw.scard(f"user:{user}:cache_keys") == 1
    await client.delete(f"{IMAGES}/{known[0]}")
    assert [image["id"] for image in (await client.get(IMAGES)).json()["images"]] == known[1:]


async def test_a_cached_page_is_the_page(client, user, raw, proxy):
    for number in range(3):
        await upload(client, title=f"{number}", tags="castle")
    await unfence(raw, user)
    for path in (f"{IMAGES}?limit=2", f"{IMAGES}?tag=Castle&sortOrder=asc"):
        fresh, cached = [(await client.get(path)).json() for _ in range(2)]
        assert cached == fresh
    assert await raw.scard(f"user:{user}:cache_keys") == 2
    before = proxy.requests
    cursor = (await client.get(f"{IMAGES}?limit=2")).json()["pagination"]["nextCursor"]
    assert proxy.requests - before == 2  # the rate limits, and the page
    rest = (await client.get(f"{IMAGES}?limit=2&cursor={cursor}")).json()
    assert [image["title"] for image in rest["images"]] == ["0"]


async def test_an_edit_and_a_deletion_are_seen_at_once(client):
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    for version in (1, 2, 3):
        assert (await client.get(path)).json()["version"] == version
        edited = await client.patch(path, json={"title": f"v{version}", "version": version})
        assert (await client.get(path)).json() == edited.json()
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


async def test_two_tasks_share_cache_and_limits(open_app, new_client, redis_url, user):
    async with (
        open_app(redis_url=redis_url, redis_timeout=5, rate_limit_requests="10/hour") as one,
        open_app(redis_url=redis_url, redis_timeout=5, rate_limit_requests="10/hour") as other,
        new_client(user, app=one) as here,
        new_client(user, app=other) as there,
    ):
        image = await upload(here)
        path = f"{IMAGES}/{image['id']}"
        assert (await there.get(path)).json()["version"] == 1
        await here.patch(path, json={"title": "New", "version": 1})
        assert (await there.get(path)).json()["title"] == "New"
        await there.delete(path)
        gone = await here.get(path)
        assert gone.status_code == 404
        assert gone.headers["X-RateLimit-Remaining"] == "4"
        answers = [await each.get(IMAGES) for each in (here, there) * 4]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 4


@pytest.mark.parametrize("fault", ["silent", "refusing"])
async def test_every_route_works_while_redis_fails(open_app, new_client, user, proxy, fault):
    async with (
        open_app(redis_url=proxy.own_url) as app,
        new_client(user, app=app) as client,
    ):
        first = await upload(client)
        await client.get(f"{IMAGES}/{first['id']}")
        setattr(proxy, fault, True)
        proxy.cut()
        for _ in range(3):
            image = await upload(client)
            path = f"{IMAGES}/{image['id']}"
            assert (await client.get(path)).json() == image
            assert len((await client.get(IMAGES)).json()["images"]) == 2
            edited = await client.patch(path, json={"title": "New", "version": 1})
            assert (await client.get(path)).json() == edited.json()
            assert (await client.delete(path)).status_code == 204
            assert (await client.get(path)).status_code == 404
        assert (await client.get(f"{IMAGES}/{first['id']}")).json() == first


async def test_health_names_redis(client, proxy):
    async def status() -> tuple[int, str, str]:
        await asyncio.sleep(1.05)  # answers are kept for a second
        response = await client.get("/health")
        body = response.json()
        return response.status_code, body["status"], body["checks"]["redis"]["status"]

    assert await status() == (200, "healthy", "up")
    proxy.silent = True
    proxy.cut()
    assert await status() == (200, "degraded", "down")
    proxy.heal()
    proxy.cut()
    assert await status() == (200, "healthy", "up")
