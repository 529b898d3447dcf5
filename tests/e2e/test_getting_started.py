"""The examples of docs/getting-started.md against the running service, in every language."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from runpy import run_path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from tests import examples
from tests.api.photos import photo, upload
from tests.e2e.conftest import Running, started
from tests.fault_proxy import Exchange, Fault, FaultProxy, answer_lost, passed_on, raw_answer
from tools import docs

from image_service.api.errors import error_response
from image_service.devstack.tokens import local_token
from image_service.domain.errors import (
    ImageNotFound,
    ImageServiceError,
    Overloaded,
    RateLimitExceeded,
    TokenExpired,
    UploadTimeout,
)
from image_service.domain.time_limits import TimeLimits

pytestmark = pytest.mark.e2e
in_every_language = pytest.mark.parametrize("language", examples.languages())

RETRY_AFTER = 2  # seconds


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(640, 480))
    return path


@pytest.fixture
def token(state_dir: Path, unique: str) -> str:
    return local_token(state_dir, unique)


@asynccontextmanager
async def user(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        yield client


@in_every_language
def test_the_first_upload(language: str, url: str, token: str, picture: Path):
    done = subprocess.run(
        examples.FIRST_UPLOADS[language],
        cwd=picture.parent,
        env={**os.environ, "IMAGES_URL": url, "IMAGES_TOKEN": token},
        capture_output=True,
        text=True,
        check=True,
    )
    # curl prints all of the response, where the main picture's address stands three times.
    [image_url] = set(re.findall(r"http[^\s\"]+/images/[^\s\"/]+/[^\s\"/]+\.webp", done.stdout))
    assert httpx.get(image_url).headers["content-type"] == "image/webp"


@in_every_language
def test_the_page_word_for_word(language: str, url: str, state_dir: Path, picture: Path):
    lines = examples.follow(language, url, state_dir, picture.parent)
    [stored] = [line.removeprefix("stored ") for line in lines if line.startswith("stored ")]
    assert f"listed {stored}" in lines
    assert "version 2 night" in lines
    if language == "typescript":  # made from the running service, as the page says
        types = "examples/typescript/api.d.ts"
        assert (picture.parent / types).read_text() == (docs.ROOT / types).read_text()


class ImageTag(HTMLParser):
    """The attributes of the one `<img>` of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "img"
        assert not self.attributes
        self.attributes = dict(attrs)


async def test_a_srcset_says_how_wide_its_files_are(url: str, token: str):
    picture = run_path(str(docs.ROOT / "examples/python/picture.py"))
    async with user(url, token) as client:
        tile = ImageTag(picture["tile"](await upload(client))).attributes
        for candidate in str(tile["srcset"]).split(", "):
            file, _, width = candidate.partition(" ")
            stored = await client.get(file, headers={"Authorization": ""})
            assert f"{Image.open(BytesIO(stored.content)).width}w" == width


@in_every_language
async def test_the_tour(language: str, url: str, token: str, picture: Path):
    async with user(url, token) as client:
        before = [(await upload(client, albumId="castle"))["id"] for _ in range(4)]
        lines = await examples.tour(language, url, token, picture)
        left = (await client.get("/images")).json()["images"]
    stored = lines[0].removeprefix("stored ")
    assert re.fullmatch(r"picture image/webp \d{3,}", lines[1])
    tag = ImageTag(lines[2].removeprefix("tile ")).attributes
    assert tag["alt"] == 'A "gate" & towers'
    assert re.fullmatch(r"http\S+\.webp 400w, http\S+\.webp 640w", str(tag["srcset"]))
    assert lines[3:] == [
        *(f"listed {image_id}" for image_id in (stored, *reversed(before))),
        "version 2 night",
        "images 5",
        "images 4",
    ]
    assert [image["id"] for image in left] == [*reversed(before)]


@in_every_language
async def test_refused_and_lost_answers_store_nothing_twice(
    language: str, url: str, token: str, picture: Path
):
    posted: list[tuple[float, bytes]] = []  # when, and with which key

    def noted(fault: Fault) -> Fault:
        async def note(exchange: Exchange) -> None:
            key = re.search(rb"(?i)\r\nidempotency-key: *(\S+)", exchange.request)
            assert key
            posted.append((asyncio.get_running_loop().time(), key[1]))
            await fault(exchange)

        return note

    async with FaultProxy(url).running() as proxy:
        refused = error(Overloaded(retry_after=RETRY_AFTER))
        limited = error(RateLimitExceeded(limit="a test", retry_after=1))
        rules = [
            proxy.add(noted(refused), on="^POST /images", times=1),
            proxy.add(noted(answer_lost), on="^POST /images", times=1),
            proxy.add(noted(passed_on), on="^POST /images"),
            proxy.add(limited, on=r"^GET /images\?", times=1),
            proxy.add(overtaken(url, token), on="^PATCH", times=1),
            proxy.add(answer_lost, on="^DELETE", times=1),
        ]
        lines = await examples.tour(language, proxy.url, token, picture)
    assert [rule.met for rule in rules] == [1] * len(rules)
    stored = lines[0].removeprefix("stored ")
    assert lines[3:] == [f"listed {stored}", "version 3 dusk night", "images 1", "images 0"]
    (first, key), (second, _), _ = posted
    assert {key for _, key in posted} == {key}
    assert second - first >= RETRY_AFTER


@in_every_language
async def test_what_passes_is_tried_again(language: str, url: str, token: str, picture: Path):
    # As a load balancer may have it.
    until = b"Retry-After: Fri, 31 Jan 2031 09:00:00 GMT"
    full = b"HTTP/1.1 503 Full\r\n" + until + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    expired = error(TokenExpired())
    async with FaultProxy(url).running() as proxy:
        rules = [
            proxy.add(error(UploadTimeout()), on="^POST /images", times=1),
            proxy.add(expired, on="^POST /images", times=1),
            proxy.add(raw_answer(full), on=r"^GET /images\?", times=1),
            proxy.add(expired, on="^PATCH", times=1),
        ]
        lines = await examples.tour(language, proxy.url, token, picture)
    assert [rule.met for rule in rules] == [1] * len(rules)
    assert lines[-2:] == ["images 1", "images 0"]


@in_every_language
async def test_an_expired_token_is_renewed_once(language: str, url: str, token: str, picture: Path):
    async with FaultProxy(url).running() as proxy:
        expired = proxy.add(error(TokenExpired()), on="^POST /images")
        with pytest.raises(AssertionError, match="TOKEN_EXPIRED"):
            await examples.tour(language, proxy.url, token, picture)
    assert expired.met == 2


@in_every_language
async def test_what_fails_ends_the_tour(language: str, url: str, token: str, picture: Path):
    async with FaultProxy(url).running() as proxy:
        proxy.add(error(ImageNotFound()), on="^GET /usage")
        deleted = proxy.add(passed_on, on="^DELETE")
        with pytest.raises(AssertionError, match="IMAGE_NOT_FOUND"):
            await examples.tour(language, proxy.url, token, picture)
    assert deleted.met == 0


@pytest.mark.parametrize(
    ("file", "patience"),
    [
        ("curl/tour.sh", r"--max-time (\d+)"),
        ("python/image_client.py", r"httpx\.Timeout\((\d+)"),
        ("typescript/image_client.ts", r"headers \}, (\d+)\)"),
    ],
)
def test_an_upload_is_waited_for_as_long_as_it_may_take(file: str, patience: str):
    text = docs.region((docs.ROOT / "examples" / file).read_text(), "upload")
    longest = TimeLimits.upload_timeout + TimeLimits.upload_deadline
    [seconds] = re.findall(patience, text)
    assert longest < int(seconds) < 2 * longest


def error(sample: ImageServiceError) -> Fault:
    """The service's own answer, headers and all."""
    answer = error_response(sample, "made-by-a-test")
    head = [f"HTTP/1.1 {answer.status_code} Fault"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    return raw_answer("\r\n".join([*head, "Connection: close", "", ""]).encode() + answer.body)


def overtaken(url: str, token: str) -> Fault:
    """Somebody else edits the image between the caller's reading and writing it."""

    async def edit_first(exchange: Exchange) -> None:
        path = exchange.described.removeprefix("PATCH ")
        async with user(url, token) as client:
            edited = await client.patch(path, json={"tags": ["dusk"], "version": 1})
            assert edited.status_code == 200
        await passed_on(exchange)

    return edit_first


@pytest.fixture(scope="module")
def small_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def small_dev(small_state: Path) -> Iterator[Running]:
    """A service that takes one upload at a time."""
    settings = {"IMAGE_SERVICE_MAX_UPLOADS": "1"}
    with started("dev", "--port", "0", "--state-dir", str(small_state), **settings) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@in_every_language
async def test_an_overloaded_service_stores_it_once_there_is_room(
    language: str, small_dev: Running, small_state: Path, unique: str, picture: Path
):
    url = small_dev.wait_for(r"(http://\S+)/docs")[1]
    token = local_token(small_state, unique)
    async with the_place_taken(url, local_token(small_state, f"{unique}-slow")) as release:
        running = asyncio.create_task(examples.tour(language, url, token, picture))
        refused = rf'"status": 503, "code": "OVERLOADED".*"user_id": "{unique}"'
        await asyncio.to_thread(small_dev.wait_for, refused)
        release()
        lines = await running
    assert lines[-2:] == ["images 1", "images 0"]


@asynccontextmanager
async def the_place_taken(url: str, token: str) -> AsyncIterator[Callable[[], None]]:
    """An upload that does not come to its end; what is yielded breaks it off."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        b"POST /images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n"
        b"Expect: 100-continue\r\n\r\n" % token.encode()
    )
    try:
        # It is asked for the body once it has its place.
        assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        yield writer.transport.abort
    finally:
        writer.transport.abort()
