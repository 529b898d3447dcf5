"""The whole app in process, with a fault proxy before everything it depends on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.api.photos import photo
from tests.chaos.truth import Place
from tests.fault_proxy import FaultProxy
from tests.times import split

from image_service.app import create_app
from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.settings import Settings

# Nothing but an outage may meet these, however busy the machine.
PATIENT = {"upload_deadline": 50.0, "delete_deadline": 40.0, "request_deadline": 40.0}


@dataclass(frozen=True)
class Backends:
    """What the tests of this folder share: engines, and who signs tokens."""

    place: Place
    issuer: LocalIssuer
    redis_url: str

    async def apart(self, name: str) -> Backends:
        """With a table and a bucket that nobody else uses."""
        return replace(self, place=await self.place.apart(f"chaos-{name}"))


@dataclass
class Service:
    """A running app and the proxies around it."""

    app: FastAPI
    issuer: LocalIssuer
    place: Place
    dynamodb: FaultProxy
    s3: FaultProxy
    jwks: FaultProxy
    redis: FaultProxy

    def client(self, user: str) -> httpx.AsyncClient:
        token = self.issuer.token(user, issuer=stack.ISSUER, client_id=stack.CLIENT_ID)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://service",
            headers={"Authorization": f"Bearer {token}"},
        )

    def heal(self) -> None:
        for proxy in (self.dynamodb, self.s3, self.jwks, self.redis):
            proxy.heal()


_ENVIRONMENT = asyncio.Lock()


@asynccontextmanager
async def running_service(
    backends: Backends, *, with_redis: bool = False, warm: bool = True, **changes: Any
) -> AsyncIterator[Service]:
    """Has fetched its keys if `warm`. Once left, nothing of the app is under way any more."""
    place = backends.place
    async with AsyncExitStack() as proxies:
        dynamodb, s3, jwks, redis = [
            await proxies.enter_async_context(FaultProxy(upstream).running())
            for upstream in (*(place.endpoint,) * 3, backends.redis_url)
        ]
        app = _app(place, dynamodb.url, s3.url, jwks.url, redis.url if with_redis else "", changes)
        lifespan = app.router.lifespan_context(app)
        async with _ENVIRONMENT:  # of the process, and services start side by side
            with _environment(dynamodb.url, s3.url):
                await lifespan.__aenter__()
        service = Service(app, backends.issuer, place, dynamodb, s3, jwks, redis)
        try:
            if warm:
                await _warmed(service)
            yield service
        finally:
            service.heal()
            await lifespan.__aexit__(None, None, None)


def _app(
    place: Place, dynamodb: str, s3: str, jwks: str, redis: str, changes: dict[str, Any]
) -> FastAPI:
    with _environment(dynamodb, s3), pytest.MonkeyPatch.context() as patch:
        for name, value in stack.service_environment(place.endpoint).items():
            patch.setenv(name, value)
        keys = Settings().jwks_location.replace(place.endpoint, jwks)
        values: dict[str, Any] = {
            "table_name": place.table,
            "bucket": place.bucket,
            "jwks_url": keys,
            "redis_url": redis or None,
            "outbox_poll": 2.0,
            "rate_limit_uploads": "100000/minute",
            **PATIENT,
            **changes,
        }
        settings, times = split(values)
        return create_app(Settings(**settings), times)


@contextmanager
def _environment(dynamodb: str, s3: str) -> Iterator[None]:
    """botocore reads its endpoints when a client is made, and not again."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.aws_environment(s3).items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
        yield


async def _warmed(service: Service) -> None:
    """Where others start beside it, the loop may be too busy for the first fetch of the keys."""
    async with service.client("nobody") as client:
        for _ in range(20):
            if (await client.get("/images")).status_code == 200:
                return
            await asyncio.sleep(0.5)
    raise RuntimeError("the service does not answer")


WIDE = photo(1450, 100)  # all that the table has is made of it


async def post(
    client: httpx.AsyncClient, key: str | None = None, data: bytes = WIDE, **fields: Any
) -> httpx.Response:
    """An upload, however it ends."""
    headers = {} if key is None else {"Idempotency-Key": key}
    file = {"file": ("photo.jpg", data, "image/jpeg")}
    return await client.post("/images", files=file, data=fields, headers=headers)


async def stored(client: httpx.AsyncClient, **fields: Any) -> str:
    """The id of an image that was just uploaded."""
    response = await post(client, **fields)
    assert response.status_code == 201, response.text
    image_id: str = response.json()["id"]
    return image_id


def new_user(kind: str = "user") -> str:
    return f"{kind}-{secrets.token_hex(6)}"
