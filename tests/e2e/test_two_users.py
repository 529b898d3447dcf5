"""Two users over HTTP: whatever alice does, every request of bob succeeds meanwhile.

How long his take is printed (`-s`), with nobody beside him and beside each attack.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests import costly, pictures, times
from tests.e2e.conftest import Running, started
from tests.e2e.raw import request_head
from tests.e2e.test_dev import token

pytestmark = pytest.mark.e2e

ROUNDS = 10  # of bob: an upload, a read, a list, an edit and a deletion each
SMALL = pictures.jpeg(300, 200)
HEADERS = [
    "jpeg, looping EXIF",
    "jpeg, flood of segments",
    "jpeg, profile of elements",
    "png, many profiles",
    "png, flood of chunks",
    "webp, flood of chunks",
]
# Nothing but alice may be in bob's way, however busy the machine.
PATIENT = times.command(
    upload_deadline=50, delete_deadline=50, request_deadline=50, queue_timeout=45
)
MANY = {"IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL and state directory."""
    state = tmp_path_factory.mktemp("two")
    here = ("--port", "0", "--state-dir", str(state))
    with started("dev", *here, command=PATIENT, **MANY) as running:
        yield url_of(running), state


def url_of(running: Running) -> str:
    running.wait_for("Stop with Ctrl-C")
    return running.wait_for(r"(http://\S+)/docs")[1]


@asynccontextmanager
async def client(server: tuple[str, Path], user: str) -> AsyncIterator[httpx.AsyncClient]:
    url, state = server
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {token(state, user)}"},
        timeout=120,
        limits=httpx.Limits(max_connections=100),
    ) as opened:
        yield opened


async def post(alice: httpx.AsyncClient, data: bytes = SMALL, **texts: object) -> httpx.Response:
    return await alice.post("/images", files={"file": data}, data=texts)


async def costly_headers(alice: httpx.AsyncClient) -> int:
    """They are looked at before a picture is admitted, in one thread that everybody shares."""
    files = itertools.cycle([costly.FILES[name]() for name in HEADERS])

    async def upload() -> int:
        return (await post(alice, next(files))).status_code

    return await without_end(30, upload, {201, 400, 503, 429})


async def slow_patches(alice: httpx.AsyncClient) -> int:
    """Bodies that come a byte a second, until they are cut off; then again."""
    url = urlsplit(str(alice.base_url))
    image = (await post(alice)).json()["id"]
    head = request_head(
        *("PATCH", f"/images/{image}", f"Authorization: {alice.headers['authorization']}"),
        *("Content-Type: application/json", "Content-Length: 1000"),
    )

    async def patch() -> int:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        status = asyncio.create_task(reader.readuntil(b"\r\n"))
        try:
            writer.write(head)
            while not status.done():
                writer.write(b" ")
                await asyncio.wait([status], timeout=1)
            return int((await status).split()[1])
        finally:
            status.cancel()
            writer.close()

    return await without_end(120, patch, {408, 429})


async def large_lists(alice: httpx.AsyncClient) -> int:
    texts = {"title": "t" * 255, "description": "ü" * 5_000, "altText": "ж" * 255}
    for number in range(40):
        tags = [f"tag{number:02}-{tag:02}".ljust(50, "x") for tag in range(20)]
        assert (await post(alice, **texts, tags=tags)).status_code == 201

    async def read() -> int:
        return (await alice.get("/images?limit=100")).status_code

    return await without_end(20, read, {200, 429})


async def edits_of_one_image(alice: httpx.AsyncClient) -> int:
    image = (await post(alice)).headers["location"]

    async def edit() -> int:
        title = {"title": str(time.perf_counter())}
        return (await alice.patch(image, json=title, headers={"If-Match": "*"})).status_code

    return await without_end(30, edit, {200, 412})


async def without_end(at_once: int, attack: Callable[[], Awaitable[int]], allowed: set[int]) -> int:
    """Until it is cancelled; nothing that alice gets is an outage, either."""
    async with asyncio.TaskGroup() as group:

        async def again() -> None:
            while True:
                status = await attack()
                assert status in allowed, status

        for _ in range(at_once):
            group.create_task(again())
    raise AssertionError


async def rounds(bob: httpx.AsyncClient) -> list[float]:
    """The seconds of each request; every one has to succeed."""
    seconds: list[float] = []

    async def ask(method: str, path: str, status: int, **options: object) -> httpx.Response:
        began = time.perf_counter()
        response = await bob.request(method, path, **options)  # type: ignore[arg-type] # mixed
        seconds.append(time.perf_counter() - began)
        assert response.status_code == status, response.text
        return response

    for _ in range(ROUNDS):
        image = (await ask("POST", "/images", 201, files={"file": SMALL})).headers["location"]
        await ask("GET", image, 200)
        await ask("GET", "/images", 200)
        await ask("PATCH", image, 200, json={"title": "Gate", "version": 1})
        await ask("DELETE", image, 204)
    return seconds


def shown(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=20)
    return f"p50 {cuts[9] * 1000:.0f} ms, p95 {cuts[18] * 1000:.0f} ms"


@pytest.mark.parametrize("attack", [costly_headers, slow_patches, large_lists, edits_of_one_image])
async def test_bob_is_served_beside(
    server: tuple[str, Path], attack: Callable[[httpx.AsyncClient], Awaitable[int]]
) -> None:
    async with client(server, "bob") as bob, client(server, "alice") as alice:
        alone = await rounds(bob)
        attacking = asyncio.ensure_future(attack(alice))
        await asyncio.sleep(1)
        beside = await rounds(bob)
        assert not attacking.done(), attacking.exception()
        attacking.cancel()
        with suppress(asyncio.CancelledError):
            await attacking
    line = f"{attack.__name__}: bob alone {shown(alone)}; beside alice {shown(beside)}"
    print(f"\n{line}")  # noqa: T201 - the figures of the run
