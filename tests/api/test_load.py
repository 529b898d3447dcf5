"""Behaviour at the limits: too many, too slow, too long."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import pytest
from tests import pictures
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, photo, upload

from image_service.api.dependencies import state_of
from image_service.services import admission

pytestmark = pytest.mark.slow

BIG = photo(3000, 2000)


async def test_over_the_limit_not_a_byte_of_the_body_is_taken(
    open_app: OpenApp, new_client: NewClient, user: str
):
    async with open_app(max_uploads=1) as app, new_client(user, app=app) as client:
        asked = 0

        async def receive() -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answers.append((message, asked))

        answers: list[tuple[dict[str, Any], int]] = []
        request = client.build_request("POST", IMAGES, files={"file": PHOTO})
        scope = {
            "type": "http",
            "method": "POST",
            "path": IMAGES,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "query_string": b"",
        }
        with state_of(app).services.admission.receiving("somebody", 1000):
            await app(scope, receive, send)
        (start, asked_before_answer), *_ = answers
        assert start["status"] == 503
        assert (b"connection", b"close") in start["headers"]
        assert asked_before_answer == 0
        await upload(client)


@pytest.mark.parametrize(
    "limits",
    [{"max_uploads": 1}, {"upload_memory_bytes": 11_000_000, "user_share": 1}],
    ids=["number", "bytes"],
)
async def test_reads_are_answered_while_uploads_are_refused(
    open_app: OpenApp, new_client: NewClient, user: str, limits: dict[str, Any]
):
    async with open_app(**limits) as app, new_client(user, app=app) as client:
        image = await upload(client)
        with state_of(app).services.admission.receiving("somebody", 10_999_000):
            refused = await client.post(IMAGES, files={"file": PHOTO})
            assert (refused.status_code, refused.json()["code"]) == (503, "OVERLOADED")
            assert int(refused.headers["retry-after"]) >= 1
            for path in (IMAGES, f"{IMAGES}/{image['id']}", "/health/live", "/health/ready"):
                assert (await client.get(path)).status_code == 200
            edit = await client.patch(f"{IMAGES}/{image['id']}", json={"version": 1})
            assert edit.status_code == 200
        await upload(client)


async def test_what_may_wait_is_bounded_and_nothing_is_left_of_the_refused(
    open_app: OpenApp, new_client: NewClient, user: str
):
    limits = {"worker_threads": 1, "task_cpus": 200 / 4096, "user_share": 1}
    async with open_app(**limits) as app, new_client(user, app=app) as client:
        answers = await asyncio.gather(
            *(client.post(IMAGES, files={"file": BIG}) for _ in range(10))
        )
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {201, 503}
        assert {a.json()["code"] for a in answers if a.status_code == 503} == {"OVERLOADED"}
        listed = (await client.get(IMAGES)).json()
        assert listed["totalCount"] == codes.count(201)
        await upload(client, BIG)


async def test_a_picture_too_costly_for_all_the_memory_is_told_how_to_be_cheaper(
    open_app: OpenApp, new_client: NewClient, user: str
):
    async with (
        open_app(decode_memory_bytes=96 * 2**20) as app,
        new_client(user, app=app) as client,
    ):
        interlaced = pictures.png_of_pixels(
            pictures.scene(2000, 2000, "RGBA"), deep=True, interlaced=True
        )
        refused = await client.post(IMAGES, files={"file": interlaced})
        assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_DIMENSIONS")
        assert refused.json()["details"]["limit"] == {"maxDecodeBytes": 96 * 2**20}
        await upload(client, photo(2000, 2000, "PNG"))


async def test_a_body_that_stalls_is_cut_off(open_app: OpenApp, new_client: NewClient, user: str):
    async def stalling() -> Any:
        yield b"--b\r\n"
        await asyncio.sleep(5)
        yield b"never sent"

    async with (
        open_app(upload_stall_timeout=0.2) as app,
        new_client(user, app=app) as client,
    ):
        image = await upload(client)
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        for method, path, headers in (
            ("POST", IMAGES, form),
            ("PATCH", f"{IMAGES}/{image['id']}", {"Content-Type": "application/json"}),
        ):
            late = await client.request(method, path, content=stalling(), headers=headers)
            assert (late.status_code, late.json()["code"]) == (408, "UPLOAD_TIMEOUT")
            assert late.headers["connection"] == "close"
        with state_of(app).services.admission.receiving(user, 100_000_000):
            pass  # its place is free again


async def test_an_answer_that_takes_too_long_is_given_up(
    open_app: OpenApp, new_client: NewClient, user: str, monkeypatch: pytest.MonkeyPatch
):
    async with open_app(request_deadline=0.3) as app, new_client(user, app=app) as client:

        async def never(*_: object) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(state_of(app).services.library, "list", never)
        late = await client.get(IMAGES)
        assert (late.status_code, late.json()["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
        assert late.headers["retry-after"]
        await upload(client)


async def test_an_upload_that_takes_too_long_leaves_nothing(
    open_app: OpenApp, new_client: NewClient, user: str
):
    """The picture is stopped at the deadline, and its memory given back."""
    async with (
        open_app(upload_deadline=0.05, worker_threads=1) as app,
        new_client(user, app=app) as client,
    ):
        late = await client.post(IMAGES, files={"file": photo(6000, 6000)})
        assert (late.status_code, late.json()["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
        listed = (await client.get(IMAGES)).json()
        assert (listed["totalCount"], listed["images"]) == (0, [])
        async with state_of(app).services.admission.processing(user, 700 * 2**20):
            pass


async def test_a_picture_that_takes_too_long_is_stopped(
    open_app: OpenApp, new_client: NewClient, user: str
):
    """Whose fault it is depends on the CPU that there was for it."""
    async with (
        open_app(processing_timeout=0.1) as app,
        new_client(user, app=app) as client,
    ):
        slow = await client.post(IMAGES, files={"file": photo(6000, 6000)})
        if slow.status_code == 503:
            assert slow.json()["code"] == "OVERLOADED"
            assert int(slow.headers["retry-after"]) >= 1
        else:
            assert (slow.status_code, slow.json()["code"]) == (400, "IMAGE_TOO_COMPLEX")
            assert slow.json()["details"]["limit"] == {"seconds": 0.1}
        assert (await client.get(IMAGES)).json()["totalCount"] == 0


async def test_fifty_uploads_of_one_user_at_once_all_succeed(client: httpx.AsyncClient):
    answers = await asyncio.gather(
        *(client.post(IMAGES, files={"file": io.BytesIO(PHOTO)}) for _ in range(50))
    )
    assert [answer.status_code for answer in answers] == [201] * 50
    assert (await client.get(IMAGES)).json()["totalCount"] == 50


async def test_a_list_keeps_its_place_until_it_is_sent_and_the_next_is_told(
    open_app: OpenApp, new_client: NewClient, user: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(admission, "LIST_WAIT", 0.3)
    async with open_app() as app, new_client(user, app=app) as client:
        unread = asyncio.Event()
        held = [
            asyncio.create_task(unread_answer(app, client, unread))
            for _ in range(admission._LISTS_AT_ONCE)
        ]
        await asyncio.sleep(1)
        refused = await client.get(IMAGES)
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert refused.json()["details"] == {"measured": 3, "limit": 2}
        several = await asyncio.gather(*(client.get(IMAGES) for _ in range(3)))
        measured = {answer.json()["details"]["measured"] for answer in several}
        assert max(measured) == 5  # those that wait, too
        assert (await client.get("/usage")).status_code == 200
        unread.set()
        await asyncio.gather(*held)
        assert (await client.get(IMAGES)).status_code == 200


async def unread_answer(app: Any, client: httpx.AsyncClient, read: asyncio.Event) -> None:
    """A list whose answer is not taken before `read`."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await read.wait()

    headers = [
        (name.lower(), value) for name, value in client.build_request("GET", "/").headers.raw
    ]
    scope = {"type": "http", "method": "GET", "path": IMAGES, "query_string": b""}
    await app({**scope, "headers": headers}, receive, send)
