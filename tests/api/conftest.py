"""The whole app in process, over the emulator, with its lifespan."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from blockbuster import BlockBuster
from fastapi import FastAPI
from tests import engines
from tests.times import split

from image_service.adapters.dynamodb import DynamoImageRepository
from image_service.app import create_app
from image_service.bootstrap import open_services
from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.devstack.tokens import ADMIN_GROUP, MACHINE, SCOPES
from image_service.domain.renditions import RenditionSpec
from image_service.settings import Settings

OpenApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
NewClient = Callable[..., httpx.AsyncClient]


# Where the service calls something that blocks the event loop, the request fails.
_blocked = BlockBuster("image_service")
# A lock that another thread holds for microseconds, to take a task, blocks nothing.
del _blocked.functions["threading.Lock.acquire"], _blocked.functions["threading.Lock.acquire_lock"]
for _function in _blocked.functions.values():
    # A traceback is made from source files, which are read once and kept.
    _function.can_block_in("linecache.py", "updatecache")
    _function.can_block_in("structlog/tracebacks.py", "extract")
    # A line is written where there is room for it.
    _function.can_block_in("image_service/telemetry/log_output.py", "_rest")


@pytest.fixture(autouse=True)
def _blocking_is_found() -> Iterator[None]:
    _blocked.activate()
    yield
    _blocked.deactivate()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start and stop the app; only what is between may not block."""
    _blocked.deactivate()
    async with app.router.lifespan_context(app):
        _blocked.activate()
        yield
        _blocked.deactivate()


@pytest.fixture(scope="session")
async def settings(
    emulator: str, issuer: LocalIssuer, _no_real_aws: None
) -> AsyncIterator[Settings]:
    """The local stack's own settings, made ready; `model_copy(update=…)` for variants."""
    await stack.provision(emulator, issuer)
    with pytest.MonkeyPatch.context() as patch:
        environment = stack.aws_environment(emulator) | stack.service_environment(emulator)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Settings(
            worker_threads=1,  # each starts a child
            service_client_ids=frozenset({MACHINE}),
            admin_groups=frozenset({ADMIN_GROUP}),
        )


@pytest.fixture(scope="session")
def open_app(settings: Settings) -> OpenApp:
    """Opens an app of its own, with some settings, time limits or renditions changed."""

    @asynccontextmanager
    async def opened(
        renditions: Sequence[RenditionSpec] | None = None, **changes: Any
    ) -> AsyncIterator[FastAPI]:
        changed, times = split(changes)
        opening = partial(open_services, renditions=renditions)
        app = create_app(Settings(**(settings.model_dump() | changed)), times, opening)
        async with lifespan(app):
            yield app

    return opened


@pytest.fixture(scope="session")
async def app(open_app: OpenApp) -> AsyncIterator[FastAPI]:
    async with open_app() as running:
        yield running


@pytest.fixture(scope="session")
async def repository(emulator: str) -> AsyncIterator[DynamoImageRepository]:
    """The images of the app, behind its back."""
    _blocked.deactivate()
    async with engines.dynamodb_client(emulator) as client:
        _blocked.activate()
        yield DynamoImageRepository(client, stack.TABLE_NAME)
        _blocked.deactivate()


@pytest.fixture(scope="session")
def new_client(app: FastAPI, issuer: LocalIssuer) -> NewClient:
    """`new_client(user)` sends that user's token; `new_client(None)` none."""

    def made(user: str | None, app: FastAPI = app, **token_options: Any) -> httpx.AsyncClient:
        headers = {}
        if user is not None:
            token = issuer.token(
                user, issuer=stack.ISSUER, client_id=stack.CLIENT_ID, **token_options
            )
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)

    return made


@pytest.fixture(scope="session")
def new_machine(app: FastAPI, issuer: LocalIssuer) -> NewClient:
    """`new_machine(scopes, app)` sends a client-credentials token of the local machine."""

    def made(
        scopes: str = " ".join(SCOPES), app: FastAPI = app, **headers: str
    ) -> httpx.AsyncClient:
        token = issuer.machine_token(MACHINE, issuer=stack.ISSUER, scopes=scopes.split(" "))
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://service",
            headers={"Authorization": f"Bearer {token}", **headers},
        )

    return made


@pytest.fixture
def user() -> str:
    return f"user-{secrets.token_hex(6)}"


@pytest.fixture
async def client(new_client: NewClient, user: str) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(user) as made:
        yield made


@pytest.fixture
async def stranger(new_client: NewClient) -> AsyncIterator[httpx.AsyncClient]:
    """Another user, with a valid token of their own."""
    async with new_client(f"stranger-{secrets.token_hex(6)}") as made:
        yield made


@pytest.fixture
async def anonymous(new_client: NewClient) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(None) as made:
        yield made
