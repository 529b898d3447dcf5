from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.api.conftest import OpenApp, lifespan
from tests.api.photos import IMAGES, PHOTO

from image_service.api.dependencies import state_of
from image_service.app import create_app
from image_service.domain.time_limits import TimeLimits


async def test_health_names_every_system(anonymous: httpx.AsyncClient):
    response = await anonymous.get("/health")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "healthy"
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "dynamodb": "up",
        "s3": "up",
        "redis": "disabled",
    }
    assert body["checks"]["s3"]["latencyMs"] >= 0
    assert body["checks"]["redis"]["latencyMs"] is None


async def test_a_required_system_that_is_down_is_503(open_app, new_client):
    async with (
        open_app(bucket="a-bucket-that-is-not-there") as app,
        new_client(None, app=app) as client,
    ):
        response = await client.get("/health")
        assert response.status_code == 503
        assert response.json()["status"] == "unhealthy"
        assert response.json()["checks"]["s3"]["status"] == "down"
        assert response.json()["checks"]["dynamodb"]["status"] == "up"
        # Readiness knows nothing of it, or a blip would take every task down.
        assert (await client.get("/health/ready")).status_code == 200


async def test_without_children_it_is_not_live(
    open_app: OpenApp, new_client, user, monkeypatch: pytest.MonkeyPatch
):
    async with open_app(worker_threads=1) as app, new_client(user, app=app) as client:
        processor = state_of(app).services.is_live.__self__
        assert (await client.get("/health/live")).json() == {"status": "live"}
        monkeypatch.setattr(processor, "_command", ("/nonexistent",))
        [child] = processor._children
        child.kill()
        while not child.has_ended():  # noqa: ASYNC110 # a process can't be waited for here
            await asyncio.sleep(0.01)
        for _ in range(5):
            refused = await client.post(IMAGES, files={"file": PHOTO})
            assert (refused.status_code, refused.json()["code"]) == (503, "OVERLOADED")
        dead = await client.get("/health/live")
        assert (dead.status_code, dead.json()) == (503, {"status": "not live"})
        monkeypatch.undo()
        assert (await client.post(IMAGES, files={"file": PHOTO})).status_code == 201
        assert (await client.get("/health/live")).status_code == 200


async def test_ready_from_start_to_stop(settings, new_client):
    app = create_app(settings, TimeLimits())
    async with new_client(None, app=app) as client:
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        async with lifespan(app):
            assert (await client.get("/health/ready")).json() == {"status": "ready"}
        assert (await client.get("/health/ready")).json() == {"status": "not ready"}
