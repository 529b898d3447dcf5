"""Machines: what they may do by themselves and for a user, and what counts for whom."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, upload
from tests.logs import Log, watched_log

from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.devstack.tokens import CLIENT_ID, MACHINE, SCOPES

READ, WRITE = SCOPES
FILE = {"file": ("photo.jpg", PHOTO, "image/jpeg")}
Asked = tuple[str, str, dict[str, Any]]


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as written:
        yield written


def code(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["code"] if response.content else None


def requests(image: dict[str, Any]) -> dict[str, Asked]:
    """By the action of the audit log; each would succeed for the owner."""
    path = f"{IMAGES}/{image['id']}"
    return {
        "read": ("GET", path, {}),
        "list": ("GET", IMAGES, {}),
        "usage": ("GET", "/usage", {}),
        "upload": ("POST", IMAGES, {"files": FILE}),
        "update": ("PATCH", path, {"json": {"title": "Gate", "version": 1}}),
        "delete": ("DELETE", path, {}),
    }


async def test_for_a_user_it_may_do_what_the_user_may(
    client: httpx.AsyncClient, new_machine: NewClient, user: str
):
    async with new_machine(**{"On-Behalf-Of": user}) as machine:
        image = await upload(machine, title="Gate")
        assert image["userId"] == user
        assert image["s3Key"].startswith(f"images/{user}/")
        assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image
        assert (await machine.get(f"{IMAGES}/{image['id']}")).json() == image
        assert (await machine.get(IMAGES)).json() == (await client.get(IMAGES)).json()
        assert (await machine.get("/usage")).json()["imageCount"] == 1
        for method, path, sent in list(requests(image).values())[-2:]:
            assert (await machine.request(method, path, **sent)).is_success
    assert (await client.get("/usage")).json()["imageCount"] == 0


async def test_by_itself_it_may_read_any_image_by_id_and_no_more(
    client: httpx.AsyncClient, new_machine: NewClient, log: Log
):
    image = await upload(client)
    async with new_machine() as machine:
        asked = requests(image)
        method, path, _ = asked.pop("read")
        assert (await machine.request(method, path)).json() == image
        for method, path, sent in asked.values():
            refused = await machine.request(method, path, **sent)
            assert code(refused) == (403, "NOT_AUTHORIZED"), (method, path)
            assert "On-Behalf-Of" in refused.json()["message"]
        refused = await machine.get(f"{IMAGES}?userId={image['userId']}")
        assert code(refused) == (403, "NOT_AUTHORIZED")
    assert log.saying(event="audit", user_id=MACHINE) == []


async def test_for_a_user_it_may_not_touch_what_is_anothers(
    client: httpx.AsyncClient, new_machine: NewClient
):
    image = await upload(client)
    async with new_machine(**{"On-Behalf-Of": f"other-{secrets.token_hex(4)}"}) as machine:
        for action in ("read", "update", "delete"):
            method, path, sent = requests(image)[action]
            assert code(await machine.request(method, path, **sent)) == (403, "NOT_AUTHORIZED")
        assert code(await machine.get(f"{IMAGES}?userId={image['userId']}"))[0] == 403
        assert (await machine.get(IMAGES)).json()["images"] == []
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (READ, {"read", "list", "usage"}),
        (WRITE, {"upload", "update", "delete"}),
        ("", set()),
        ("read write", set()),
        ("other/read other/write", set()),
        ("x-image-service/read image-service-2/write", set()),
        (f"{READ}/ {WRITE}s IMAGE-SERVICE/read", set()),
        (f"{READ},{WRITE}", set()),
        ("openid aws.cognito.signin.user.admin", set()),
    ],
)
async def test_it_needs_the_scope(
    client: httpx.AsyncClient, new_machine: NewClient, user: str, scopes: str, may: set[str]
):
    image = await upload(client)
    async with new_machine(scopes, **{"On-Behalf-Of": user}) as machine:
        for action, (method, path, sent) in requests(image).items():
            response = await machine.request(method, path, **sent)
            if action in may:
                assert response.is_success, (action, response.text)
                continue
            scope = READ if method == "GET" else WRITE
            assert code(response) == (403, "SCOPE_MISSING"), action
            assert response.json()["details"] == {"scope": scope}
            assert scope in response.json()["message"]


async def test_without_the_scope_it_learns_of_no_image(new_machine: NewClient, user: str):
    for headers in ({}, {"On-Behalf-Of": user}):
        async with new_machine(WRITE, **headers) as machine:
            response = await machine.get(f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV")
            assert code(response) == (403, "SCOPE_MISSING")


@pytest.mark.parametrize(
    "named",
    [
        "", ".", "..", "../x", "a/b", "a b", "a,b", "alice, bob", "x" * 129, "a#b", "älice", "a\tb",
        "*", MACHINE,
    ],
)  # fmt: skip
async def test_whom_it_acts_for_must_be_a_user(new_machine: NewClient, named: str):
    async with new_machine() as machine:
        header = [(b"On-Behalf-Of", named.encode())]
        for path in (IMAGES, f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV"):
            refused = await machine.get(path, headers=httpx.Headers(header))
            assert code(refused) == (400, "VALIDATION_FAILED")
            assert [found["field"] for found in refused.json()["details"]] == ["On-Behalf-Of"]


@pytest.mark.parametrize("names", [("On-Behalf-Of", "on-behalf-of"), ("ON-BEHALF-OF",) * 2])
async def test_it_acts_for_one_user_at_a_time(new_machine: NewClient, names: tuple[str, str]):
    async with new_machine() as machine:
        for second in ("alice", "bob"):
            headers = httpx.Headers(list(zip(names, ("alice", second), strict=True)))
            refused = await machine.get(IMAGES, headers=headers)
            assert code(refused) == (400, "VALIDATION_FAILED")
            assert "2 times" in refused.json()["message"]


async def test_a_header_in_any_case_is_heard(new_machine: NewClient, user: str):
    for name in ("on-behalf-of", "ON-BEHALF-OF", "oN-bEHALF-oF"):
        async with new_machine(**{name: user}) as machine:
            assert (await machine.get(IMAGES)).status_code == 200


@pytest.mark.parametrize("options", [{}, {"token_use": "access"}, {"groups": ["image-admins"]}])
async def test_a_user_may_act_for_nobody(
    new_client: NewClient, client: httpx.AsyncClient, user: str, options: dict[str, Any]
):
    """Heard and refused: ignored, it would do for the wrong user what was meant for another."""
    image = await upload(client)
    for named in ("bob", user, "", "../x"):
        async with new_client(user, **options) as own:
            for method, path, sent in requests(image).values():
                refused = await own.request(method, path, headers={"On-Behalf-Of": named}, **sent)
                assert code(refused) == (403, "NOT_AUTHORIZED")
                assert "Only a machine" in refused.json()["message"]
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image


async def test_one_token_acts_for_each_user_in_turn(new_machine: NewClient, unique: str):
    """What is remembered of a token says nothing of whom it acted for."""
    alice, bob = f"alice-{unique}", f"bob-{unique}"
    async with new_machine() as machine:
        for name in (alice, bob):
            await machine.post(IMAGES, files=FILE, headers={"On-Behalf-Of": name})
        for name in (alice, bob, alice):
            listed = await machine.get(IMAGES, headers={"On-Behalf-Of": name})
            assert [image["userId"] for image in listed.json()["images"]] == [name]
            assert (await machine.get(IMAGES)).status_code == 403


async def test_an_idempotency_key_is_the_users(
    client: httpx.AsyncClient, new_machine: NewClient, user: str, unique: str
):
    key = {"Idempotency-Key": f"key-{unique}"}
    async with new_machine() as machine:
        first = await machine.post(IMAGES, files=FILE, headers={**key, "On-Behalf-Of": user})
        other = f"other-{unique}"
        anothers = await machine.post(IMAGES, files=FILE, headers={**key, "On-Behalf-Of": other})
        again = await client.post(IMAGES, files=FILE, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert anothers.json()["userId"] == other
    assert "Idempotency-Replayed" not in anothers.headers


async def test_both_are_in_the_logs(
    client: httpx.AsyncClient, new_machine: NewClient, user: str, log: Log
):
    image = await upload(client)
    async with new_machine(**{"On-Behalf-Of": user}) as machine:
        for action, (method, path, sent) in requests(image).items():
            response = await machine.request(method, path, **sent)
            who = {"caller": "machine", "caller_id": MACHINE, "user_id": user}
            assert log.of(response, event="request", **who), action
            assert log.of(response, event="audit", action=action, outcome="done", **who), action
        kept = await machine.post(IMAGES, files=FILE, headers={"Idempotency-Key": "k"})
        again = await machine.post(IMAGES, files=FILE, headers={"Idempotency-Key": "k"})
        assert log.of(again, event="audit", action="upload", image_id=kept.json()["id"], **who)
    async with new_machine() as machine:
        alone = await machine.get(f"{IMAGES}/{kept.json()['id']}")
        refused = await machine.delete(f"{IMAGES}/{kept.json()['id']}")
    who = {"caller": "machine", "caller_id": MACHINE}
    assert log.of(alone, event="request", user_id=None, **who)
    assert log.of(alone, event="audit", action="read", user_id=user, outcome="done", **who)
    assert log.of(
        refused, event="audit", action="delete", user_id=None, outcome="NOT_AUTHORIZED", **who
    )


async def test_of_users_that_read_their_own_nothing_is_in_the_audit_log(
    client: httpx.AsyncClient, user: str, log: Log
):
    image = await upload(client)
    for path in (f"{IMAGES}/{image['id']}", IMAGES, "/usage", f"{IMAGES}?userId={user}"):
        response = await client.get(path)
        assert response.status_code == 200
        assert log.of(response, event="audit") == []
        [line] = log.of(response, event="request")
        assert "caller" not in line
    [line] = log.saying(event="audit", action="upload", user_id=user)
    assert (line["caller"], line["caller_id"]) == ("user", user)


async def test_a_machine_has_limits_of_its_own(
    open_app: OpenApp, new_client: NewClient, new_machine: NewClient, unique: str
):
    limits = {
        "rate_limit_requests": "20/hour",
        "rate_limit_uploads": "2/hour",
        "rate_limit_machines": "9/hour",
    }
    alice = {"On-Behalf-Of": f"alice-{unique}"}
    async with open_app(**limits) as app, new_machine(app=app) as machine:
        uploads = [await machine.post(IMAGES, files=FILE, headers=alice) for _ in range(3)]
        assert [response.status_code for response in uploads] == [201, 201, 429]
        assert [response.headers["X-RateLimit-Limit"] for response in uploads] == ["2"] * 3
        assert "2 uploads per hour" in uploads[2].json()["message"]
        # Another user's are counted apart, and so are the user's own.
        bob = {"On-Behalf-Of": f"bob-{unique}"}
        assert (await machine.post(IMAGES, files=FILE, headers=bob)).status_code == 201
        async with new_client(f"alice-{unique}", app=app) as client:
            own = [await client.post(IMAGES, files=FILE) for _ in range(3)]
            assert [response.status_code for response in own] == [201, 201, 429]
            read = await client.get(IMAGES)
            assert read.headers["X-RateLimit-Remaining"] == "16"
        # All its requests are counted together, refused ones too.
        statuses = []
        for headers in (alice, bob, {"On-Behalf-Of": ".."}, {}, alice, bob):
            response = await machine.get(IMAGES, headers=headers)
            statuses.append((response.status_code, response.headers["X-RateLimit-Remaining"]))
        expected = [(200, "4"), (200, "3"), (400, "2"), (403, "1"), (200, "0"), (429, "0")]
        assert statuses == expected
        assert response.headers["X-RateLimit-Limit"] == "9"
        assert "9 requests per hour" in response.json()["message"]


async def test_a_user_of_the_machines_name_is_another(
    open_app: OpenApp, new_client: NewClient, new_machine: NewClient
):
    async with (
        open_app(rate_limit_requests="2/hour", rate_limit_machines="2/hour") as app,
        new_machine(app=app) as machine,
        new_client(MACHINE, app=app) as client,
    ):
        for _ in range(2):
            assert (await machine.get(IMAGES)).status_code == 403
            assert (await client.get(IMAGES)).status_code == 200
        assert (await machine.get(IMAGES)).status_code == 429


async def test_without_the_setting_there_are_none(
    open_app: OpenApp, new_client: NewClient, new_machine: NewClient, client: httpx.AsyncClient
):
    image = await upload(client)
    async with open_app(service_client_ids=frozenset(), admin_groups=frozenset()) as app:
        async with new_machine(app=app, **{"On-Behalf-Of": "alice"}) as machine:
            for method, path, sent in requests(image).values():
                assert code(await machine.request(method, path, **sent)) == (401, "TOKEN_INVALID")
        async with new_client("root", app=app, groups=["image-admins"]) as admin:
            assert code(await admin.get(f"{IMAGES}/{image['id']}")) == (403, "NOT_AUTHORIZED")


async def test_credentials_of_a_users_client_are_nobodys(
    new_client: NewClient, issuer: LocalIssuer
):
    token = issuer.machine_token(CLIENT_ID, issuer=stack.ISSUER, scopes=SCOPES)
    async with new_client(None) as client:
        refused = await client.get(IMAGES, headers={"Authorization": f"Bearer {token}"})
    assert code(refused) == (401, "TOKEN_INVALID")
    assert "not of a user" in refused.json()["message"]


async def test_pages_can_not_send_it(new_client: NewClient, open_app: OpenApp):
    async with (
        open_app(cors_origins=("https://app.example.com",)) as app,
        new_client(None, app=app) as browser,
    ):
        preflight = await browser.options(
            IMAGES,
            headers={
                "Origin": "https://app.example.com",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization,on-behalf-of",
            },
        )
    assert preflight.status_code == 400
    assert "on-behalf-of" in preflight.json()["message"]
