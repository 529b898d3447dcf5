"""Administrators: what they may do with the images of others, and how it is recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, upload
from tests.logs import Log, watched_log

from image_service.devstack.tokens import ADMIN_GROUP, MACHINE


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as written:
        yield written


@pytest.fixture
def admin_id(unique: str) -> str:
    return f"admin-{unique}"


@pytest.fixture
async def admin(new_client: NewClient, admin_id: str) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(admin_id, groups=["staff", ADMIN_GROUP]) as made:
        yield made


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("use", ["id", "access"])
async def test_reads_any_image_and_lists_any_users(
    new_client: NewClient, client: httpx.AsyncClient, user: str, use: str
):
    image = await upload(client, title="Gate", tags=["castle"])
    async with new_client("root", groups=[ADMIN_GROUP], token_use=use) as admin:
        assert (await admin.get(f"{IMAGES}/{image['id']}")).json() == image
        for filters in ({}, {"tag": "castle"}, {"limit": 1, "sortOrder": "asc"}):
            listed = await admin.get(IMAGES, params={**filters, "userId": user})
            assert listed.json() == (await client.get(IMAGES, params=filters)).json()


async def test_lists_its_own_by_default(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, admin_id: str
):
    await upload(client)
    own = await upload(admin)
    for query in ("", "?userId=", f"?userId={admin_id}"):
        assert (await admin.get(f"{IMAGES}{query}")).json()["images"] == [own]
    assert (await admin.get("/usage")).json()["imageCount"] == 1


async def test_edits_nobody_elses(admin: httpx.AsyncClient, client: httpx.AsyncClient):
    image = await upload(client)
    edit = {"title": "Seized", "version": 1}
    refused = await admin.patch(f"{IMAGES}/{image['id']}", json=edit)
    assert code(refused) == (403, "NOT_AUTHORIZED")
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image


async def test_deletes_any_image(
    admin: httpx.AsyncClient,
    client: httpx.AsyncClient,
    user: str,
    admin_id: str,
    log: Log,
):
    image = await upload(client)
    reason = "Reported: shows\ta person\r\nforged line"
    deleted = await admin.delete(f"{IMAGES}/{image['id']}", params={"reason": reason})
    assert deleted.status_code == 204
    assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 404
    assert (await client.get("/usage")).json()["imageCount"] == 0
    [line] = log.of(deleted, event="audit")
    assert {
        "action": "delete",
        "user_id": user,
        "caller": "admin",
        "caller_id": admin_id,
        "image_id": image["id"],
        "outcome": "done",
        "reason": "Reported: shows a person forged line",
    }.items() <= line.items()


async def test_a_reason_need_not_be_given_and_is_one_line(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, log: Log
):
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    for query in (f"reason={'x' * 256}", "reason=a&reason=b"):
        refused = await admin.delete(f"{path}?{query}")
        assert code(refused) == (400, "VALIDATION_FAILED")
        assert [found["field"] for found in refused.json()["details"]] == ["reason"]
    stale = await admin.delete(path, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    deleted = await admin.delete(f"{path}?reason=%20")
    assert deleted.status_code == 204
    [line] = log.of(deleted, event="audit")
    assert "reason" not in line


async def test_what_others_are_shown_is_in_the_audit_log(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, user: str, admin_id: str, log: Log
):
    image = await upload(client)
    own = await upload(admin)
    who = {"caller": "admin", "caller_id": admin_id, "user_id": user, "outcome": "done"}
    read = await admin.get(f"{IMAGES}/{image['id']}")
    assert log.of(read, event="audit", action="read", image_id=image["id"], **who)
    assert log.of(read, event="request", user_id=admin_id, caller="admin", caller_id=admin_id)
    listed = await admin.get(f"{IMAGES}?userId={user}")
    assert log.of(listed, event="audit", action="list", **who)
    for path in (f"{IMAGES}/{own['id']}", IMAGES, "/usage"):
        assert log.of(await admin.get(path), event="audit") == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_is_not_there_is_not_found(admin: httpx.AsyncClient, method: str):
    missing = await admin.request(method, f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert code(missing) == (404, "IMAGE_NOT_FOUND")


async def test_a_user_who_has_nothing_has_an_empty_list(admin: httpx.AsyncClient, unique: str):
    listed = (await admin.get(f"{IMAGES}?userId=nobody-{unique}")).json()
    assert (listed["images"], listed["totalCount"]) == ([], 0)


@pytest.mark.parametrize("named", [".", "..", "../x", "a/b", "a b", "x" * 129, "a#b", "ä", "*"])
async def test_whom_it_lists_must_be_a_user(admin: httpx.AsyncClient, named: str):
    refused = await admin.get(IMAGES, params={"userId": named})
    assert code(refused) == (400, "VALIDATION_FAILED")
    assert [found["field"] for found in refused.json()["details"]] == ["userId"]


async def test_userid_is_given_once(admin: httpx.AsyncClient):
    refused = await admin.get(f"{IMAGES}?userId=alice&userId=bob")
    assert code(refused) == (400, "VALIDATION_FAILED")


async def test_a_cursor_belongs_to_the_user_who_is_listed(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, stranger: httpx.AsyncClient, user: str
):
    for _ in range(3):
        await upload(client)
    own = await upload(admin), await upload(admin)
    first = (await admin.get(f"{IMAGES}?limit=1&userId={user}")).json()
    cursor = first["pagination"]["nextCursor"]
    assert cursor == (await client.get(f"{IMAGES}?limit=1")).json()["pagination"]["nextCursor"]
    seen = [first["images"][0]]
    while cursor:
        page = (await admin.get(f"{IMAGES}?limit=1&userId={user}&cursor={cursor}")).json()
        seen += page["images"]
        # Of another list, the admin's own too, it is none.
        for others in (f"cursor={cursor}", f"userId=somebody&cursor={cursor}"):
            assert code(await admin.get(f"{IMAGES}?limit=1&{others}")) == (400, "INVALID_CURSOR")
        cursor = page["pagination"]["nextCursor"]
    assert seen == (await client.get(IMAGES)).json()["images"]
    mine = (await admin.get(f"{IMAGES}?limit=1")).json()
    assert mine["images"] == [own[1]]
    forged = f"{IMAGES}?limit=1&userId={user}&cursor={mine['pagination']['nextCursor']}"
    assert code(await admin.get(forged)) == (400, "INVALID_CURSOR")
    assert code(await stranger.get(f"{IMAGES}?limit=1&userId={user}")) == (403, "NOT_AUTHORIZED")


NO_ADMIN: list[dict[str, Any]] = [
    {},
    {"groups": ["staff"]},
    {"groups": [f"{ADMIN_GROUP}s", ADMIN_GROUP.upper(), f" {ADMIN_GROUP}", ADMIN_GROUP[:-1]]},
    {"groups": [f"{ADMIN_GROUP},staff"]},
    {"groups": ["x" * 20] * 300},
]


@pytest.mark.parametrize("options", NO_ADMIN)
async def test_nobody_else_is_let_near(
    new_client: NewClient, client: httpx.AsyncClient, user: str, options: dict[str, Any]
):
    image = await upload(client)
    async with new_client("mallory", **options) as mallory:
        for method, path in [
            ("GET", f"{IMAGES}/{image['id']}"),
            ("DELETE", f"{IMAGES}/{image['id']}?reason=mine"),
            ("GET", f"{IMAGES}?userId={user}"),
            ("GET", f"{IMAGES}?userId={user}&tag=x"),
            ("HEAD", f"{IMAGES}?userId={user}"),
        ]:
            refused = await mallory.request(method, path)
            assert refused.status_code == 403
        assert (await mallory.get(f"{IMAGES}?userId=mallory")).status_code == 200


@pytest.mark.slow
async def test_cached_pages_and_images_are_checked_and_the_same_for_all(
    open_app: OpenApp,
    new_client: NewClient,
    new_machine: NewClient,
    redis_url: str,
    unique: str,
):
    """Whoever fills the cache, who may see it is decided anew; nobody gets a page of another's."""
    import redis.asyncio  # noqa: PLC0415  # for this test alone

    alice_id, query = f"alice-{unique}", f"?userId=alice-{unique}"
    async with (
        open_app(redis_url=redis_url, redis_timeout=5) as app,
        new_client(alice_id, app=app) as alice,
        new_client(f"root-{unique}", app=app, groups=[ADMIN_GROUP]) as admin,
        new_client(f"bob-{unique}", app=app) as bob,
        new_machine(app=app) as machine,
        redis.asyncio.Redis.from_url(redis_url) as raw,
    ):
        for_alice = {"On-Behalf-Of": alice_id}
        image = await upload(alice)
        path = f"{IMAGES}/{image['id']}"
        await raw.hset(f"user:{alice_id}:generation", "pages_from", 0)
        assert await raw.keys(f"*{alice_id}*:page:*") == []
        page = (await admin.get(f"{IMAGES}{query}")).json()
        assert len(await raw.keys(f"user:{alice_id}:images:page:*")) == 1
        assert (await alice.get(IMAGES)).json() == page
        assert (await machine.get(IMAGES, headers=for_alice)).json() == page
        assert len(await raw.keys(f"user:{alice_id}:images:page:*")) == 1  # all had that one
        assert (await admin.get(IMAGES)).json()["images"] == []
        assert (await bob.get(IMAGES)).json()["images"] == []
        assert code(await bob.get(f"{IMAGES}{query}")) == (403, "NOT_AUTHORIZED")
        # Strangers are served from the cache, and fill it with nothing.
        for stranger in (admin, machine):
            assert (await stranger.get(path)).json() == image
            assert not await raw.exists(f"image:{image['id']}")
        assert (await alice.get(path)).json() == image
        assert await raw.exists(f"image:{image['id']}")
        for seer in (admin, machine):
            assert (await seer.get(path)).json() == image
        assert code(await bob.get(path)) == (403, "NOT_AUTHORIZED")
        no_one = await machine.get(path, headers={"On-Behalf-Of": f"bob-{unique}"})
        assert code(no_one) == (403, "NOT_AUTHORIZED")
        # What an admin deletes is in no cache of its owner's.
        assert (await admin.delete(path)).status_code == 204
        for seer in (alice, admin, machine):
            assert code(await seer.get(path)) == (404, "IMAGE_NOT_FOUND")
        assert (await alice.get(IMAGES)).json()["images"] == []
        assert (await admin.get(f"{IMAGES}{query}")).json()["images"] == []


async def test_an_admin_is_a_user_and_acts_for_nobody(admin: httpx.AsyncClient):
    for named in ("alice", MACHINE):
        response = await admin.post(IMAGES, files={"file": PHOTO}, headers={"On-Behalf-Of": named})
        assert code(response) == (403, "NOT_AUTHORIZED")


async def test_a_machine_with_a_group_is_no_admin(
    new_client: NewClient, client: httpx.AsyncClient, issuer: Any
):
    image = await upload(client)
    token = issuer.token(
        MACHINE, issuer="https://issuer.image-service.localhost", client_id=MACHINE,
        token_use="access", groups=[ADMIN_GROUP],
    )  # fmt: skip
    async with new_client(None) as machine:
        machine.headers["Authorization"] = f"Bearer {token}"
        refused = await machine.delete(f"{IMAGES}/{image['id']}")
    assert refused.status_code == 403
