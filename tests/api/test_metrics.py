"""The metrics of real requests, read from the operations port."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, MAX_FILE_BYTES, PHOTO, upload
from tests.scraping import Samples, Scraper, Series, operations_port

from image_service.api.dependencies import state_of

pytestmark = pytest.mark.slow

DURATIONS = "http_request_duration_seconds_count"
CALLS = "dependency_call_seconds_count"


@pytest.fixture(scope="session")
async def metered(open_app: OpenApp) -> AsyncIterator[FastAPI]:
    """Of its own, so that nobody else's requests are counted."""
    async with open_app() as running:
        yield running


@pytest.fixture
async def scrape(metered: FastAPI) -> AsyncIterator[Scraper]:
    async with operations_port(metered) as scraper:
        yield scraper


@pytest.fixture
async def client(
    new_client: NewClient, metered: FastAPI, user: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(user, app=metered) as made:
        yield made


def calls(samples: Samples, service: str, operation: str, outcome: str = "ok") -> float:
    return samples(CALLS, service=service, operation=operation, outcome=outcome)


async def test_an_upload_is_counted_at_each_of_its_steps(
    client: httpx.AsyncClient, scrape: Scraper
):
    before = await scrape()
    await upload(client)
    after = await scrape()

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert more(DURATIONS, method="POST", route="/images", status="201") == 1
    assert more("uploads_total", outcome="stored") == 1
    assert more("queue_wait_seconds_count") == 1
    assert more("processing_seconds_count", stage="header") == 1
    assert more("processing_seconds_count", stage="pixels") == 1
    assert more(CALLS, service="s3", operation="PutObject", outcome="ok") == 2
    assert calls(after, "jwks", "GET") == 1
    assert calls(after, "dynamodb", "TransactWriteItems") >= 1
    for gauge in ("http_requests_in_progress", "uploads_in_flight", "pictures_processing"):
        assert after(gauge) == 0
    took = "http_request_duration_seconds_sum"
    assert 0.005 < after(took, method="POST", route="/images", status="201") < 30


async def test_a_replay_is_not_a_second_upload(client: httpx.AsyncClient, scrape: Scraper):
    before = await scrape()
    for _ in range(2):
        response = await client.post(
            IMAGES, files={"file": PHOTO}, headers={"Idempotency-Key": "again"}
        )
        assert response.status_code == 201
    after = await scrape()
    for outcome in ("stored", "replayed"):
        assert (
            after("uploads_total", outcome=outcome) - before("uploads_total", outcome=outcome) == 1
        )
    assert calls(after, "s3", "PutObject") - calls(before, "s3", "PutObject") == 2


async def refused_by_type(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(IMAGES, files={"file": b"GIF89a, no picture for us" * 10})


async def refused_by_size(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(IMAGES, files={"file": b"x" * (MAX_FILE_BYTES + 1)})


async def refused_by_form(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(IMAGES, data={"title": "no file"}, files={"file": (None, "")})


async def without_token(client: httpx.AsyncClient) -> httpx.Response:
    del client.headers["authorization"]
    return await client.post(IMAGES, files={"file": PHOTO})


async def with_bad_token(client: httpx.AsyncClient) -> httpx.Response:
    client.headers["authorization"] += "x"
    return await client.get(f"{IMAGES}/{'0' * 26}")


async def of_nothing(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get(f"{IMAGES}/{'0' * 26}")


async def of_no_route(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/nowhere/at/all")


async def of_no_method(client: httpx.AsyncClient) -> httpx.Response:
    return await client.put(IMAGES, json={})


async def of_no_sense(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get(IMAGES, params={"limit": "many"})


@pytest.mark.parametrize(
    ("refused", "answer", "reason"),
    [
        (refused_by_type, ("POST", "/images", 400), "INVALID_FILE_TYPE"),
        (refused_by_size, ("POST", "/images", 413), "FILE_TOO_LARGE"),
        (refused_by_form, ("POST", "/images", 400), "FILE_REQUIRED"),
        (without_token, ("POST", "/images", 401), "TOKEN_MISSING"),
        (with_bad_token, ("GET", "/images/{id}", 401), "TOKEN_INVALID"),
        (of_nothing, ("GET", "/images/{id}", 404), "IMAGE_NOT_FOUND"),
        (of_no_route, ("GET", "unmatched", 404), "ROUTE_NOT_FOUND"),
        (of_no_method, ("PUT", "/images", 405), "METHOD_NOT_ALLOWED"),
        (of_no_sense, ("GET", "/images", 400), "VALIDATION_FAILED"),
    ],
)
async def test_what_is_refused_is_counted_by_reason_and_route(
    client: httpx.AsyncClient, scrape: Scraper, refused, answer, reason
):
    method, route, status = answer
    before = await scrape()
    assert (await refused(client)).status_code == status
    after = await scrape()
    durations = {"method": method, "route": route, "status": str(status)}
    assert after(DURATIONS, **durations) - before(DURATIONS, **durations) == 1
    assert after("rejected_total", reason=reason) - before("rejected_total", reason=reason) == 1
    uploads = after("uploads_total", outcome=reason) - before("uploads_total", outcome=reason)
    assert uploads == (1 if method == "POST" else 0)


async def test_overload_shows_while_it_lasts(open_app: OpenApp, new_client: NewClient, user: str):
    async with (
        open_app(max_uploads=1) as app,
        new_client(user, app=app) as client,
        operations_port(app) as scrape,
    ):
        with state_of(app).services.admission.receiving("somebody", 1_000):
            assert (await client.post(IMAGES, files={"file": PHOTO})).status_code == 503
            during = await scrape()
        after = await scrape()
    assert during("rejected_total", reason="OVERLOADED") == 1
    assert during("uploads_total", outcome="OVERLOADED") == 1
    assert (during("uploads_in_flight"), during("upload_bytes_admitted")) == (1, 1_000)
    assert (after("uploads_in_flight"), after("upload_bytes_admitted")) == (0, 0)


async def test_who_waits_for_a_worker_is_seen(open_app: OpenApp):
    async with open_app(worker_threads=1) as app, operations_port(app) as scrape:
        admission = state_of(app).services.admission
        async with admission.processing("one", 1_000):
            waiting = asyncio.create_task(enter(admission.processing("two", 1_000)))
            await asyncio.sleep(0.2)
            during = await scrape()
        await waiting
        after = await scrape()
    assert (during("pictures_processing"), during("pictures_waiting")) == (1, 1)
    assert (after("pictures_processing"), after("pictures_waiting")) == (0, 0)
    assert after("queue_wait_seconds_count") == 2
    assert 0.2 <= after("queue_wait_seconds_sum") < 5


async def enter(context) -> None:
    async with context:
        pass


async def test_without_redis_the_hits_there_would_have_been_are_counted(
    client: httpx.AsyncClient, scrape: Scraper
):
    image = await upload(client)
    before = await scrape()
    for _ in range(3):
        await client.get(f"{IMAGES}/{image['id']}")
    after = await scrape()
    for result, expected in (("would_miss", 1), ("would_hit", 2), ("hit", 0)):
        labels = {"part": "image", "result": result}
        assert after("cache_requests_total", **labels) - before(
            "cache_requests_total", **labels
        ) == (expected)


async def test_with_redis_hits_and_its_calls_are_counted(
    open_app: OpenApp, new_client: NewClient, user: str, redis_url: str
):
    async with (
        open_app(redis_url=redis_url, redis_timeout=5) as app,
        new_client(user, app=app) as client,
        operations_port(app) as scrape,
    ):
        image = await upload(client)
        for _ in range(3):
            await client.get(f"{IMAGES}/{image['id']}")
        samples = await scrape()
    assert samples("cache_requests_total", part="image", result="miss") == 1
    assert samples("cache_requests_total", part="image", result="hit") == 2
    assert calls(samples, "redis", "read") == 3
    assert calls(samples, "redis", "count") == 4
    assert calls(samples, "redis", "invalidate") == 2


async def test_an_invalidation_that_redis_never_heard_of_is_counted(
    open_app: OpenApp, new_client: NewClient, user: str
):
    nobody = "redis://127.0.0.1:9"
    async with (
        open_app(redis_url=nobody) as app,
        new_client(user, app=app) as client,
        operations_port(app) as scrape,
    ):
        assert (await scrape())("cache_invalidations_lost_total") == 0
        image = await upload(client)
        once = (await scrape())("cache_invalidations_lost_total")
        await client.patch(f"{IMAGES}/{image['id']}", json={"title": "x", "version": 1})
        twice = (await scrape())("cache_invalidations_lost_total")
    assert (once, twice) == (1, 2)


async def test_no_number_of_paths_methods_or_ids_makes_more_series(
    new_client: NewClient, metered: FastAPI, scrape: Scraper
):
    def anything() -> str:
        return secrets.token_urlsafe(12)

    async def ask(client: httpx.AsyncClient) -> None:
        path = secrets.choice(["/", f"{IMAGES}/", f"{IMAGES}/x/"]) + anything()
        headers = {"X-Request-ID": anything(), "User-Agent": anything()}
        method = secrets.choice(["GET", "POST", anything().upper()])
        await client.request(method, path, headers=headers, params={anything(): anything()})

    async def ask_often(times: int) -> set[Series]:
        for _ in range(times):
            async with new_client(f"user-{anything()}", app=metered) as known:
                await ask(known)
            async with new_client(None, app=metered) as unknown:
                await ask(unknown)
        # But what the worker of the outbox calls meanwhile, which needs no request to be new.
        return {series for series in (await scrape()).values if "dependency_" not in series[0]}

    # The second time nothing is new: of each kind there was one among the first.
    assert await ask_often(100) == await ask_often(500)


async def test_metrics_are_only_there(
    client: httpx.AsyncClient, metered: FastAPI, new_client: NewClient, scrape: Scraper
):
    assert (await client.get("/metrics")).status_code == 404
    async with new_client(None, app=metered) as anonymous:
        assert (await anonymous.get("/metrics")).status_code == 401
    async with httpx.AsyncClient(trust_env=False) as operations:
        for path in ("/", "/images", "/health"):
            elsewhere = await operations.get(scrape.url.replace("/metrics", path))
            assert elsewhere.status_code == 404


async def test_openmetrics_is_spoken_where_it_is_asked_for(scrape: Scraper):
    async with httpx.AsyncClient(trust_env=False) as scraper:
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        response = await scraper.get(scrape.url, headers=asked)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_the_process_shows(scrape: Scraper):
    samples = await scrape()
    assert samples("event_loop_lag_seconds_count") >= 0
    assert ("process_resident_memory_bytes", frozenset()) in samples.values
    assert "image_service_build_info{" in samples.text
    assert samples("outbox_last_round_timestamp_seconds") > 1_700_000_000
    assert samples("outbox_measured_timestamp_seconds") > 1_700_000_000


async def test_two_apps_share_no_figure(open_app: OpenApp, scrape: Scraper):
    await scrape()
    async with open_app() as other, operations_port(other) as scrape_other:
        samples = await scrape_other()
    assert not [name for name, _ in samples.values if name.endswith(DURATIONS)]


async def test_every_metric_is_documented(
    client: httpx.AsyncClient, scrape: Scraper, repository_root: Path
):
    await upload(client)
    text = (repository_root / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(image_service_\w+)` \| (\w+) \|", text, re.MULTILINE))
    made = set(
        re.findall(r"^# TYPE (image_service_\w+) (\w+)", (await scrape()).text, re.MULTILINE)
    )
    assert documented == made
