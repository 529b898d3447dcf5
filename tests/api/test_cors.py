from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

IMAGES = "/images"
EXPOSED = {
    "ETag",
    "Location",
    "X-Request-ID",
    "Idempotency-Replayed",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
}
LISTED = (
    "https://app.example.com",
    "https://*.bricks.example.com",
    "capacitor://localhost",
    "tauri://localhost",
    "http://localhost:*",
    "http://127.0.0.1:*",
)
ALLOWED = (
    "https://app.example.com",
    "https://a.bricks.example.com",
    "https://a.b.bricks.example.com",
    "capacitor://localhost",
    "tauri://localhost",
    "http://localhost",
    "http://localhost:3000",
    "http://localhost:65535",
    "http://127.0.0.1:5173",
)
REFUSED = (
    "http://app.example.com",
    "https://bricks.example.com",
    "https://evilbricks.example.com",
    "https://a.bricks.example.com.evil.com",
    "https://app.example.com:444",
    "https://app-example.com",
    "ionic://localhost",
    "https://localhost:3000",
    "http://localhost:3000.evil.com",
    "http://localhost:",
    "http://localhost:123456",
    "http://localhost.evil.com:80",
    "http://127.0.0.1.evil.com",
    "http://127x0x0x1:80",
    "null",
)


@pytest.fixture(scope="module")
async def page(open_app, new_client) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        open_app(cors_origins=LISTED, cors_headers=("X-Tenant",)) as app,
        new_client("cors-user", app=app) as client,
    ):
        yield client


async def preflight(
    page: httpx.AsyncClient, origin: str, headers: str = "authorization", method: str = "POST"
) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return await page.options(IMAGES, headers=asked)


@pytest.mark.parametrize("origin", ALLOWED)
async def test_a_listed_origin(page: httpx.AsyncClient, origin: str):
    response = await preflight(page, origin, "authorization, idempotency-key, if-match")
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-max-age"] == "86400"
    simple = await page.get(IMAGES, headers={"Origin": origin})
    assert simple.headers["access-control-allow-origin"] == origin
    assert set(simple.headers["access-control-expose-headers"].split(", ")) == EXPOSED
    error = await page.get("/nowhere", headers={"Origin": origin})
    assert error.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", REFUSED)
async def test_another_origin_is_told_what_would_let_it_in(page: httpx.AsyncClient, origin: str):
    refused = await preflight(page, origin)
    assert (refused.status_code, refused.json()["code"]) == (400, "VALIDATION_FAILED")
    [fault] = refused.json()["details"]
    remedy = "list it in IMAGE_SERVICE_CORS_ORIGINS"
    if origin == "null":  # which the setting would refuse
        remedy = "open the page from a server, not from a file or in a sandboxed frame"
    message = f"{origin} is not allowed; {remedy}"
    assert fault == {"field": "Origin", "message": message}
    assert "access-control-allow-origin" not in refused.headers
    assert "Origin" in refused.headers["vary"]
    simple = await page.get(IMAGES, headers={"Origin": origin})
    assert "access-control-allow-origin" not in simple.headers


@pytest.mark.parametrize(
    "headers",
    [
        "authorization, traceparent, tracestate, baggage",  # OpenTelemetry
        "authorization,sentry-trace,baggage",  # Sentry
        "x-datadog-origin, x-datadog-parent-id, x-datadog-sampling-priority, x-datadog-trace-id",
        "X-Datadog-Sampled,X-Datadog-Tags",
        "x-tenant",  # of the setting
    ],
)
async def test_headers_that_pages_send(page: httpx.AsyncClient, headers: str):
    assert (await preflight(page, "http://localhost:3000", headers)).status_code == 200


async def test_another_header_or_method_is_told(page: httpx.AsyncClient):
    response = await preflight(page, "https://app.example.com", "x-evil, baggage, x-more", "PURGE")
    assert response.status_code == 400
    assert response.json()["details"] == [
        {
            "field": "Access-Control-Request-Method",
            "message": "PURGE is not allowed; send one of GET, POST, PATCH, DELETE, OPTIONS",
        },
        {
            "field": "Access-Control-Request-Headers",
            "message": "x-evil, x-more is not allowed; list it in IMAGE_SERVICE_CORS_HEADERS",
        },
    ]
    long = await preflight(page, "https://" + "x" * 5000, "x" * 5000, "X" * 5000)
    assert len(long.content) < 1500


async def test_nothing_is_allowed_by_default(open_app, new_client, user: str):
    async with open_app() as app, new_client(user, app=app) as client:
        refused = await preflight(client, "http://localhost:3000")
        assert "http://localhost:3000 is not allowed" in refused.json()["message"]
