"""Rules for every route: the envelope, authentication, headers, limits."""

from __future__ import annotations

import gzip
import re

import httpx
import pytest
from tests.api.photos import IMAGES, PHOTO, upload

from image_service.api.dependencies import state_of

ENVELOPE = {"error", "message", "code", "details", "requestId"}
CLOSED = [
    ("POST", IMAGES),
    ("GET", IMAGES),
    ("GET", f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("PATCH", f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("DELETE", f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("GET", "/nowhere"),
    ("GET", "/metrics"),
    ("GET", "/health/"),
    ("GET", "/docs/../images"),
    ("GET", "http://service//health"),  # whole, since `//health` alone names a host
    ("OPTIONS", IMAGES),
    ("HEAD", IMAGES),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_every_route_is_closed_unless_listed(anonymous: httpx.AsyncClient, method, path):
    response = await anonymous.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["cache-control"] == "no-store"
    if method != "HEAD":
        assert set(response.json()) == ENVELOPE
        assert response.json()["code"] == "TOKEN_MISSING"


@pytest.mark.parametrize(
    "path",
    [
        *("/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/redoc"),
        *("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"),
        "/redoc/redoc.standalone.js",
    ],
)
async def test_open_routes_need_no_token(anonymous: httpx.AsyncClient, path: str):
    response = await anonymous.get(path)
    assert response.status_code == 200
    assert len(response.content) > 10


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer nonsense", "TOKEN_INVALID"),
        ("Basic dXNlcjpwYXNz", "TOKEN_INVALID"),
        ("Bearer", "TOKEN_INVALID"),
        ("Bearer a b", "TOKEN_INVALID"),
        ("", "TOKEN_INVALID"),
    ],
)
async def test_a_bad_authorization_header(anonymous: httpx.AsyncClient, header: str, code: str):
    response = await anonymous.get(IMAGES, headers={"Authorization": header})
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert "invalid_token" in response.headers["www-authenticate"]


async def test_two_authorization_headers_are_refused(client: httpx.AsyncClient):
    token = client.headers["Authorization"]
    headers = [("Authorization", token), ("Authorization", token)]
    async with httpx.AsyncClient(transport=client._transport) as doubled:
        response = await doubled.get(f"http://service{IMAGES}", headers=headers)
    assert response.json()["code"] == "TOKEN_INVALID"


async def test_an_expired_token(new_client, user: str):
    async with new_client(user, ttl_seconds=-60) as client:
        response = await client.get(IMAGES)
    assert (response.status_code, response.json()["code"]) == (401, "TOKEN_EXPIRED")


async def test_an_access_token_works_too(new_client, user: str):
    async with new_client(user, token_use="access") as client:
        assert (await client.get(IMAGES)).status_code == 200


async def test_the_token_is_checked_before_the_body_is_read(anonymous: httpx.AsyncClient):
    sent = 0

    async def body():
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    response = await anonymous.post(IMAGES, content=body())
    assert response.status_code == 401
    assert response.headers["connection"] == "close"
    # Dropped, not kept, so that the answer arrives; and not without end.
    assert sent * 65536 <= (16 << 20) + 65536


async def test_unknown_routes_and_methods(client: httpx.AsyncClient):
    for path in ("/nowhere", f"{IMAGES}/", f"{IMAGES}/a/b", "/Images"):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "ROUTE_NOT_FOUND")
    for method, path, allowed in (
        ("PUT", IMAGES, {"GET", "HEAD", "POST"}),
        ("POST", f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/health", {"GET", "HEAD"}),
    ):
        response = await client.request(method, path)
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == allowed
        assert response.json()["code"] == "METHOD_NOT_ALLOWED"


async def test_head_is_answered_wherever_get_is(client: httpx.AsyncClient):
    for path in (IMAGES, "/health", "/health/live", "/docs", "/openapi.json"):
        assert (await client.head(path)).status_code == 200


@pytest.mark.parametrize("path", ["/health", IMAGES, "/nowhere", "/docs"])
async def test_every_answer_carries_its_id_and_security_headers(client: httpx.AsyncClient, path):
    headers = (await client.get(path)).headers
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"].startswith("max-age=")
    if path == "/docs":
        assert "default-src 'none'" in headers["content-security-policy"]


async def test_a_sane_request_id_is_kept_and_another_replaced(client: httpx.AsyncClient):
    kept = await client.get("/nowhere", headers={"X-Request-ID": "abc-1.2:3_4"})
    assert kept.headers["x-request-id"] == kept.json()["requestId"] == "abc-1.2:3_4"
    for hostile in ("a b", "x" * 129, "<script>", ""):
        response = await client.get("/nowhere", headers={"X-Request-ID": hostile})
        assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])


async def test_an_unforeseen_failure_is_an_envelope_without_secrets(
    client: httpx.AsyncClient, app, monkeypatch: pytest.MonkeyPatch, caplog
):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret table name")

    monkeypatch.setattr(state_of(app).services.library, "list", broken)
    response = await client.get(IMAGES)
    assert response.status_code == 500
    error = response.json()
    assert (error["error"], error["code"]) == ("InternalError", "INTERNAL_ERROR")
    assert "secret" not in response.text
    assert response.headers["x-ratelimit-limit"]
    assert response.headers["cache-control"] == "no-store"
    assert "secret table name" in caplog.text


async def test_a_token_too_long_to_be_looked_at_is_told_so(anonymous: httpx.AsyncClient):
    for length in (16_385, 30_000):
        token = "a." * 2 + "a" * (length - 4)
        response = await anonymous.get(IMAGES, headers={"Authorization": f"Bearer {token}"})
        assert (response.status_code, response.json()["code"]) == (401, "TOKEN_INVALID")
        assert response.json()["details"] == {"measured": length, "limit": 16_384}


async def test_rate_limit_headers_and_refusal(open_app, new_client, user: str):
    async with (
        open_app(rate_limit_requests="3/minute", rate_limit_uploads="1/minute") as app,
        new_client(user, app=app) as client,
    ):
        await upload(client)
        refused = await client.post(IMAGES, files={"file": ("a.jpg", PHOTO)})
        assert refused.status_code == 429
        error = refused.json()
        assert error["code"] == "RATE_LIMIT_EXCEEDED"
        assert 1 <= error["retryAfter"] <= 61
        assert refused.headers["retry-after"] == str(error["retryAfter"])
        assert refused.headers["x-ratelimit-limit"] == "1"
        assert refused.headers["x-ratelimit-remaining"] == "0"

        allowed = await client.get(IMAGES)
        assert allowed.headers["x-ratelimit-limit"] == "3"
        assert int(allowed.headers["x-ratelimit-reset"]) > 1_700_000_000
        assert (await client.get(IMAGES)).status_code == 429
        async with new_client(f"{user}-other", app=app) as other:
            assert (await other.get(IMAGES)).status_code == 200


async def test_a_gzip_bomb_is_not_opened(client: httpx.AsyncClient):
    bomb = gzip.compress(b" " * 10_000_000)
    response = await client.patch(
        f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV",
        content=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert response.status_code == 415


@pytest.mark.parametrize("path", ["/images%0A", "/health%0A", "/docs%0A", "/images%00"])
async def test_a_path_with_a_control_character_is_no_route(client: httpx.AsyncClient, path: str):
    """Starlette's patterns match before a final newline: a way around the upload limit."""
    for method in ("GET", "POST"):
        response = await client.request(method, path)
        assert (response.status_code, response.json()["code"]) == (404, "ROUTE_NOT_FOUND")


async def test_a_body_full_of_faults_gets_a_short_answer(client: httpx.AsyncClient):
    image = await upload(client)
    url = f"{IMAGES}/{image['id']}"
    for changes in (
        {"tags": [0] * 60_000},
        {f"unknown-{n}": n for n in range(5_000)},
        {"x" * 100_000: 1},
    ):
        response = await client.patch(url, json=changes)
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_FAILED")
        assert len(response.content) < 20_000
    many = await client.get(IMAGES, params={f"unknown-{n}": "" for n in range(3_000)})
    assert len(many.content) < 20_000


async def test_countless_fields_are_refused_by_their_number(client: httpx.AsyncClient):
    image = await upload(client)
    changes = {f"k{number}": 1 for number in range(51)}
    refused = await client.patch(f"{IMAGES}/{image['id']}", json=changes)
    assert refused.json()["details"] == [
        {"field": "body", "message": "has 51 fields; the limit is 50, send those you need"}
    ]
    query = "&".join(f"k{number}=" for number in range(66))
    refused = await client.get(f"{IMAGES}?{query}")
    assert [fault["field"] for fault in refused.json()["details"]] == ["query"]
    tags = ["a"] * 201
    refused = await client.patch(f"{IMAGES}/{image['id']}", json={"tags": tags, "version": 1})
    assert [fault["field"] for fault in refused.json()["details"]] == ["tags"]
    kept = await client.patch(f"{IMAGES}/{image['id']}", json={"tags": tags[1:], "version": 1})
    assert kept.json()["tags"] == ["a"]


async def test_a_quoted_star_is_an_ordinary_tag(client: httpx.AsyncClient):
    image = await upload(client)
    url = f"{IMAGES}/{image['id']}"
    stale = await client.patch(url, json={"title": "x"}, headers={"If-Match": '"*"'})
    assert (stale.status_code, stale.json()["currentVersion"]) == (412, 1)
    assert (await client.get(url, headers={"If-None-Match": '"*"'})).status_code == 200
    assert (await client.delete(url, headers={"If-Match": '"*"'})).status_code == 412


async def test_docs_assets_ignore_ranges_and_come_compressed(anonymous: httpx.AsyncClient):
    for ranges in ("bytes=abc", "bytes=99999999-", "bytes=0-1"):
        whole = await anonymous.get("/docs/swagger-ui.css", headers={"Range": ranges})
        assert whole.status_code == 200
    zipped = await anonymous.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "gzip"})
    plain = await anonymous.get("/docs/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.text == plain.text


async def test_empty_parameters_are_not_given(client: httpx.AsyncClient):
    image = await upload(client, tags="lego")
    page = (await client.get(f"{IMAGES}?tag=&tag=lego&albumId=&cursor=")).json()
    assert [found["id"] for found in page["images"]] == [image["id"]]
