"""The log lines of requests, and what never stands in them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, upload
from tests.logs import Log, watched_log

from image_service.api.dependencies import state_of
from image_service.domain.errors import DependencyUnavailable, TooManyUnknownKeys


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as written:
        yield written


async def test_a_request_is_one_line(client: httpx.AsyncClient, log: Log, user: str):
    response = await client.post(IMAGES, files={"file": PHOTO})
    [line] = log.of(response, event="request")
    assert line["duration_ms"] > 0
    assert len(PHOTO) < line["bytes_in"] < len(PHOTO) + 500
    assert {
        "method": "POST",
        "route": "/images",
        "status": 201,
        "code": None,
        "bytes_out": response.num_bytes_downloaded,  # compressed, as sent
        "user_id": user,
        "stage": "test",
        "level": "info",
        "logger": "image_service.access",
    }.items() <= line.items()


@pytest.mark.parametrize(
    ("method", "path", "route", "code"),
    [
        ("GET", f"{IMAGES}?limit=none", "/images", "VALIDATION_FAILED"),
        ("GET", f"{IMAGES}/nothing", "/images/{id}", "IMAGE_NOT_FOUND"),
        ("GET", "/nothing", None, "ROUTE_NOT_FOUND"),
        ("PUT", f"{IMAGES}/nothing", "/images/{id}", "METHOD_NOT_ALLOWED"),
    ],
)
async def test_an_error_is_named_in_it(
    client: httpx.AsyncClient, log: Log, method, path, route, code
):
    response = await client.request(method, path)
    [line] = log.of(response)
    assert (line["route"], line["status"], line["code"]) == (route, response.status_code, code)


async def test_changes_and_refusals_are_audited(
    client: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    log: Log,
    user: str,
):
    posted = await client.post(IMAGES, files={"file": PHOTO})
    image_id = posted.json()["id"]
    path = f"{IMAGES}/{image_id}"
    edited = await client.patch(path, json={"title": "x", "version": 1})
    stale = await client.patch(path, json={"title": "x", "version": 1})
    others = [
        (await stranger.request(method, path, json={"version": 1}), action)
        for method, action in (("GET", "read"), ("PATCH", "update"), ("DELETE", "delete"))
    ]
    nobody = await anonymous.get(path)
    deleted = await client.delete(path)

    for response, action, version in (
        (posted, "upload", 1),
        (edited, "update", 2),
        (deleted, "delete", 2),
    ):
        [line] = log.of(response, event="audit")
        assert line["logger"] == "image_service.audit"
        assert {
            "action": action,
            "user_id": user,
            "image_id": image_id,
            "version": version,
            "outcome": "done",
        }.items() <= line.items()
    assert log.of(stale, event="audit") == []
    for response, action in others:
        [line] = log.of(response, event="audit")
        assert (line["action"], line["outcome"]) == (action, "NOT_AUTHORIZED")
        assert line["image_id"] == image_id
        assert line["user_id"].startswith("stranger-")
    [line] = log.of(nobody, event="audit")
    assert (line["action"], line["user_id"], line["outcome"]) == ("read", None, "TOKEN_MISSING")
    assert line["image_id"] == image_id


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", IMAGES, "upload"),
        ("GET", IMAGES, "list"),
        ("GET", f"{IMAGES}/any%20text", "read"),  # which is not to be found in an audit
        ("PATCH", f"{IMAGES}/any-text", "update"),
        ("DELETE", f"{IMAGES}/any-text", "delete"),
        ("GET", "/usage", "usage"),
    ],
)
async def test_whoever_has_no_token_is_audited_without_an_image(
    anonymous: httpx.AsyncClient, log: Log, method: str, path: str, action: str
):
    response = await anonymous.request(method, path)
    [line] = log.of(response, event="audit")
    assert (line["action"], line["image_id"]) == (action, None)
    assert line["outcome"] == "TOKEN_MISSING"


async def test_what_a_refused_body_is_drained_for_is_no_time_of_the_request(
    anonymous: httpx.AsyncClient, log: Log
):
    async def slow_body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(0.8)
        yield b"x"

    response = await anonymous.post(IMAGES, content=slow_body())
    assert response.status_code == 401
    [line] = log.of(response, event="request")
    assert 0 < line["duration_ms"] < 600


async def test_audits_and_requests_are_written_at_any_level(client: httpx.AsyncClient, log: Log):
    root = logging.getLogger()
    root.setLevel("ERROR")
    try:
        response = await client.post(IMAGES, files={"file": PHOTO})
    finally:
        root.setLevel("INFO")
    assert [line["event"] for line in log.of(response)] == ["audit", "request"]


async def test_a_failure_is_logged_once_with_its_cause(
    app: FastAPI, client: httpx.AsyncClient, log: Log, monkeypatch: pytest.MonkeyPatch
):
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async def down(*_: object) -> None:
        try:
            raise ConnectionResetError("by the peer")
        except OSError as cause:
            raise DependencyUnavailable from cause

    for failing, event, level, kind, reason in (
        (broken, "unhandled_error", "error", "RuntimeError", "a bug"),
        (down, "request_failed", "warning", "ConnectionResetError", "by the peer"),
    ):
        monkeypatch.setattr(state_of(app).services.library, "list", failing)
        response = await client.get(IMAGES)
        failure, request = log.of(response)
        assert (failure["event"], failure["level"]) == (event, level)
        assert failure["cause"] == f"{kind}: {reason}"
        assert any(reason in raised["exc_value"] for raised in failure["exception"])
        assert request["event"] == "request"
        assert request["status"] == response.status_code >= 500


async def test_an_answer_that_breaks_off_is_logged_under_its_request(
    app: FastAPI, client: httpx.AsyncClient, log: Log, monkeypatch: pytest.MonkeyPatch
):
    async def half(self: Response, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half of it", "more_body": True})
        raise RuntimeError("a bug")

    monkeypatch.setattr(Response, "__call__", half)
    await client.get("/health/live", headers={"X-Request-ID": "half"})
    failure, request = [line for line in log.lines if line.get("request_id") == "half"]
    assert (failure["event"], failure["level"]) == ("answer_broken_off", "error")
    assert failure["exception"][0]["exc_value"] == "a bug"
    assert (request["event"], request["status"]) == ("request", 500)


async def test_overload_is_no_failure(
    open_app: OpenApp, new_client: NewClient, user: str, log: Log
):
    async with open_app(max_uploads=1) as app, new_client(user, app=app) as client:
        with state_of(app).services.admission.receiving("somebody", 1):
            response = await client.post(IMAGES, files={"file": PHOTO})
    [line] = log.of(response)
    assert (line["event"], line["status"], line["code"]) == ("request", 503, "OVERLOADED")


async def test_a_storm_of_invented_keys_is_no_failure(
    app: FastAPI, client: httpx.AsyncClient, log: Log, monkeypatch: pytest.MonkeyPatch
):
    async def full(token: str) -> None:
        raise TooManyUnknownKeys

    monkeypatch.setattr(state_of(app).services.verifier, "verify", full)
    response = await client.get(IMAGES)
    assert (response.status_code, response.json()["code"]) == (503, "AUTH_UNAVAILABLE")
    assert response.headers["retry-after"] == "5"
    [line] = log.of(response)
    assert (line["event"], line["code"], line["reason"]) == (
        "request",
        "AUTH_UNAVAILABLE",
        "TOO_MANY_UNKNOWN_KEYS",
    )


SECRET = "Sesame-open-7f3a"


async def everything(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> list[str]:
    """Each route, well and badly asked, with the secret wherever a caller can put text."""
    words = {
        "title": f"title {SECRET}",
        "description": f"description {SECRET}",
        "altText": f"alt {SECRET}",
        "tags": json.dumps([f"tag {SECRET}"]),
        "albumId": f"album-{SECRET}",
    }
    named = {"file": (f"{SECRET}.jpg", PHOTO, f"image/{SECRET}")}
    keyed = {"Idempotency-Key": f"key-{SECRET}", "User-Agent": SECRET, "Cookie": SECRET}
    image = (await client.post(IMAGES, files=named, data=words, headers=keyed)).json()
    path = f"{IMAGES}/{image['id']}"
    await client.post(IMAGES, files=named, data=words, headers=keyed)  # replayed
    await client.post(IMAGES, files=named, data=words | {"title": "x"}, headers=keyed)  # 422
    for file in (SECRET.encode(), PHOTO[:500] + SECRET.encode(), b"GIF89a" + SECRET.encode()):
        await client.post(IMAGES, files={"file": (f"{SECRET}.gif", file)}, data=words)
    await client.post(IMAGES, data={SECRET: SECRET})
    await client.post(IMAGES, files=named, data={"albumId": f"{SECRET}/*", "tags": f"[{SECRET}"})
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (SECRET.encode(), f"--b\r\n{SECRET}: {SECRET}\r\n\r\n".encode()):
        await client.post(IMAGES, content=body, headers=form)
    await client.post(IMAGES, content=SECRET, headers={"Content-Type": f"text/{SECRET}"})
    await upload(client)
    page = (await client.get(IMAGES, params={"limit": 1})).json()
    cursor = page["pagination"]["nextCursor"]
    assert cursor
    for query in (
        {"cursor": cursor, "limit": 1},
        {"cursor": cursor, "tag": SECRET},
        {"cursor": cursor + "x"},
        {"cursor": SECRET, "limit": SECRET, "albumId": f"{SECRET} *", "uploadedAfter": SECRET},
        {"tag": f"tag {SECRET}", "albumId": f"album-{SECRET}"},
        {SECRET: SECRET},
    ):
        await client.get(IMAGES, params=query)
    for changes in (
        {"version": 1, "title": SECRET, "tags": [SECRET]},
        {"version": 1, "title": SECRET},
        {"version": SECRET, SECRET: SECRET, "title": 7},
        {"version": 2, "albumId": f"{SECRET} *"},
        SECRET,
    ):
        await client.patch(path, json=changes)
        await stranger.patch(path, json=changes)
    await client.patch(path, content=f"{{{SECRET}")
    await client.patch(path, json={"title": SECRET}, headers={"If-Match": f'"{SECRET}"'})
    await client.get(path, headers={"If-None-Match": SECRET})
    await client.get(f"{IMAGES}/{SECRET}")
    await client.get(f"/{SECRET}", params={SECRET: SECRET})
    await client.delete(path, headers={"If-Match": SECRET})
    await stranger.delete(path)
    await client.get("/usage", params={SECRET: SECRET})
    for route in ("/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/redoc"):
        await client.get(route, params={SECRET: SECRET})
    await client.options(IMAGES, headers={"Origin": f"https://{SECRET}"})
    await client.delete(path)
    for wrong in (SECRET, f"Bearer {SECRET}", f"Basic {SECRET}", f"Bearer a.{SECRET}.b"):
        await client.get(path, headers={"Authorization": wrong})
    await client.get(path, headers={"X-Request-ID": f"{SECRET} and more"})
    return [cursor]


async def test_nothing_a_caller_wrote_is_in_it(
    open_app: OpenApp, new_client: NewClient, user: str, log: Log, monkeypatch: pytest.MonkeyPatch
):
    async with (
        open_app(cors_origins=("https://example.com",)) as app,
        new_client(user, app=app) as client,
        new_client("stranger", app=app) as stranger,
    ):
        secrets = await everything(client, stranger)

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        # And where there is a bug: tracebacks show no values.
        image = await upload(client)
        for part, name in (("uploads", "upload"), ("library", "list"), ("library", "update")):
            monkeypatch.setattr(getattr(state_of(app).services, part), name, broken)
        named = {"file": (f"{SECRET}.jpg", PHOTO)}
        for failed in (
            await client.post(IMAGES, files=named, data={"title": SECRET}),
            await client.get(IMAGES, params={"tag": SECRET}),
            await client.patch(f"{IMAGES}/{image['id']}", json={"title": SECRET, "version": 1}),
        ):
            assert failed.status_code == 500
            assert len(log.of(failed, event="unhandled_error")) == 1
        for bearer in (client, stranger):
            secrets.append(bearer.headers["authorization"].removeprefix("Bearer "))
    secrets += [SECRET, SECRET.lower(), base64.b64encode(SECRET.encode()).decode().rstrip("=")]
    secrets += [repr(PHOTO[100:130])[2:-1], base64.b64encode(PHOTO[99:129]).decode()]
    assert len([line for line in log.lines if line["event"] == "request"]) > 50
    assert {line["status"] for line in log.lines if line["event"] == "request"} >= {
        *(200, 201, 204, 400, 401, 403, 404, 409, 412, 415, 422, 500),
    }
    for secret in secrets:
        assert [line for line in log.text.splitlines() if secret in line] == []
