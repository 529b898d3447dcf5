"""The order and number of responses on connections that are used badly or not at all."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests import virtual_time
from tests.integration.raw_http import (
    CHUNKED,
    POST,
    Echo,
    Hurried,
    Serving,
    answer,
    answers,
    exchanging,
    get,
    refusal,
    serving,
)

from image_service.api.middleware.exchange import Limits
from image_service.api.middleware.request import Requests
from image_service.server.room import Room
from image_service.telemetry.telemetry import Telemetry

GARBAGE = b"GARBAGE\r\n\r\n"
BAD_CHUNK = b"zz\r\n"
DEAF_CHUNKED = CHUNKED.replace(b"/", b"/deaf", 1)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo, caplog: pytest.LogCaptureFixture) -> Iterator[Serving]:
    with virtual_time.running(serving(echo)) as server:
        yield server
    # Such as of an answer that was written where none could be any more.
    assert not [line for line in caplog.get_records("call") if line.levelno >= logging.WARNING]


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@virtual_time.MARK
async def test_a_request_sent_ahead_is_answered_in_its_turn(server: Serving, apart: bool):
    pieces = [get("/slow"), get("/2")]
    received = await server.talk(*(pieces if apart else [b"".join(pieces)]), pause=0.1)
    assert answers(received) == [(200, b"GET /slow 0"), (200, b"GET /2 0")]


@virtual_time.MARK
async def test_requests_sent_ahead_are_bounded(server: Serving, echo: Echo):
    """Those past the bound are not answered: the close tells a client to send them again."""
    received = await server.talk(*[get("/slow") * 5000] * 3)
    assert answers(received) == [(200, b"GET /slow 0")] * 2
    assert len(echo.requests) == 2


@pytest.mark.parametrize("after", [GARBAGE, get("/2") + GARBAGE, CHUNKED + BAD_CHUNK])
@virtual_time.MARK
async def test_what_is_malformed_takes_no_answer_from_others(
    server: Serving, echo: Echo, after: bytes
):
    received = await server.talk(
        POST.replace(b"/", b"/slow", 1) + b"Content-Length: 5\r\n\r\nhello" + after
    )
    assert answers(received)[0] == (200, b"POST /slow 5")
    assert len(answers(received)) == len(echo.requests) == 1 + after.startswith(b"GET /2")


@virtual_time.MARK
async def test_a_request_whose_body_is_malformed_is_withdrawn(server: Serving, echo: Echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(CHUNKED)
    await asyncio.sleep(0.1)
    writer.write(BAD_CHUNK)
    assert refusal(await reader.read()) == (400, "MALFORMED_BODY")
    await asyncio.sleep(0.5)  # less than it lingers
    assert echo.disconnects == 1
    writer.close()


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["before it began", "while it reads"])
@pytest.mark.parametrize("given", ["", "X-Request-ID: mine.1\r\n"])
@virtual_time.MARK
async def test_a_withdrawn_request_is_logged_with_its_error_and_id(
    echo: Echo, caplog: pytest.LogCaptureFixture, pause: float, given: str
):
    app = Requests(echo, limits=Limits(), routes=(), telemetry=Telemetry(), untraced=())
    head = CHUNKED.replace(b"\r\n\r\n", f"\r\n{given}\r\n".encode(), 1)
    async with serving(app) as server:
        if pause:
            received = await server.talk(head, BAD_CHUNK, pause=pause)
        else:
            received = await server.talk(head + BAD_CHUNK)
    assert refusal(received) == (400, "MALFORMED_BODY")
    lines: list[Any] = [record.msg for record in caplog.get_records("call")]
    [line] = [line for line in lines if isinstance(line, dict) and line["event"] == "request"]
    assert (line["status"], line["code"]) == (400, "MALFORMED_BODY")
    assert f"x-request-id: {line['request_id']}\r\n".encode() in received
    assert (line["request_id"] == "mine.1") == bool(given)


@virtual_time.MARK
async def test_a_response_that_is_not_heard_is_not_logged(
    echo: Echo, caplog: pytest.LogCaptureFixture
):
    app = Requests(echo, limits=Limits(), routes=(), telemetry=Telemetry(), untraced=())
    async with serving(app) as server:
        received = await server.talk(DEAF_CHUNKED + BAD_CHUNK)
    assert refusal(received) == (400, "MALFORMED_BODY")
    assert echo.requests == ["POST /deaf 0"]
    lines: list[Any] = [record.msg for record in caplog.get_records("call")]
    [line] = [line for line in lines if isinstance(line, dict) and line["event"] == "request"]
    assert (line["status"], line["code"]) == (400, "MALFORMED_BODY")


@virtual_time.MARK
async def test_who_answers_a_malformed_body_all_the_same_is_not_heard(server: Serving, echo: Echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(DEAF_CHUNKED + BAD_CHUNK)
    assert refusal(await reader.read()) == (400, "MALFORMED_BODY")
    await asyncio.sleep(1)  # less than it lingers
    assert echo.requests == ["POST /deaf 0"]
    writer.close()


class Lingering(Hurried):
    linger_seconds = 60.0


async def test_a_refusal_reaches_who_sends_on_before_reading(echo: Echo):
    """Also where nothing was read any more, as nobody had taken the body that was there."""
    body = b"20000\r\n" + bytes(0x20000) + b"\r\n"

    def send_on(client: socket.socket) -> bytes:
        client.settimeout(60)
        client.sendall(bytes(20_000_000))
        return client.recv(10_000)

    async with serving(echo, Lingering, receive_buffer=1_000_000) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            await asyncio.sleep(0.1)
            client.sendall(DEAF_CHUNKED + body + BAD_CHUNK)  # at once: the server can't run
            received = await asyncio.to_thread(send_on, client)
    assert refusal(received) == (400, "MALFORMED_BODY")


@virtual_time.MARK
async def test_a_client_that_has_said_all_is_answered(server: Serving):
    assert answers(await server.talk(get("/1"), half_close=True)) == [(200, b"GET /1 0")]
    received = await server.talk(get("/slow"), half_close=True)
    assert answers(received) == [(200, b"GET /slow 0")]
    assert b"connection: close" in received
    received = await server.talk(get("/slow") + get("/2"), half_close=True)
    assert answers(received) == [(200, b"GET /slow 0"), (200, b"GET /2 0")]


class Library:
    """Answers with as many bytes as the path says."""

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, bytes(int(scope["path"][1:])))


@pytest.mark.parametrize("size", [20_000, 5_000_000], ids=["little", "much"])
@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
@virtual_time.MARK
async def test_who_leaves_answers_unread_is_cut_off(size: int, close: bytes):
    async with serving(Library(), send_buffer=4096) as server:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            lazy.setblocking(False)
            await asyncio.get_running_loop().sock_connect(lazy, ("127.0.0.1", server.port))
            lazy.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n%s\r\n" % (size, close))
            await asyncio.sleep(0.2)
            assert len(server.connections) == 1
            await asyncio.sleep(1)
            assert not server.connections


@virtual_time.MARK
async def test_who_reads_slowly_but_reads_gets_all():
    async with serving(Library(), send_buffer=4096) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        writer.write(get("/300000") * 2)
        received = 0
        while received < 600_000:
            received += len(await reader.read(50_000))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.7)  # as long as it would have been waited for
        writer.write(get("/1"))
        assert b"content-length: 1\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


class Held:
    """Answers `/held` when it is released, everything else at once."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.held = 0

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            self.held += 1
            await self.release.wait()
        await answer(send, b"here")


async def until_held(app: Held, number: int) -> None:
    async with asyncio.timeout(15):
        while app.held < number:  # noqa: ASYNC110 - of interest in this test alone
            await asyncio.sleep(0.01)


@virtual_time.MARK
async def test_who_waits_longest_for_a_request_makes_room():
    app = Held()
    async with serving(app, room=Room(3, extra=0)) as server:
        held = asyncio.create_task(server.talk(get("/held")))
        await until_held(app, 1)
        streams = []
        for said in (b"GET /half", b"", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            streams.append((reader, writer))
            await asyncio.sleep(0.05)
        (longest, _), *waiting = streams
        assert await longest.read() == b""
        for reader, writer in waiting:
            writer.write(get("/"))
            assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
        app.release.set()
        assert answers(await held) == [(200, b"here")]
        for _, writer in streams:
            writer.close()


@virtual_time.MARK
async def test_where_no_connection_waits_no_other_is_taken():
    app = Held()
    async with serving(app, room=Room(2, extra=0)) as server:
        held = [asyncio.create_task(server.talk(get("/held"))) for _ in range(2)]
        await until_held(app, 2)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            received = await reader.read()
            assert refusal(received) == (503, "OVERLOADED")
            assert b"retry-after: " in received
            assert len(server.connections) == 3  # the refused one has 2 s to read why
            writer.close()
        app.release.set()
        for talking in held:
            assert answers(await talking) == [(200, b"here")]


@virtual_time.MARK
async def test_an_early_answer_reaches_who_sends_more_than_is_drained(echo: Echo):
    app = exchanging(echo, drain_seconds=1, drain_bytes=1000)
    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(POST.replace(b"/", b"/deaf", 1) + b"Content-Length: 50000000\r\n\r\n")
        writer.write(bytes(5_000_000))
        assert (await reader.readuntil(b"POST /deaf 0")).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8):
                await reader.read()
        writer.close()


@virtual_time.MARK
async def test_no_deadline_runs_while_a_body_comes(echo: Echo):
    app = exchanging(echo, other=0.3)
    async with serving(app) as server:
        received = await server.talk(
            POST + b"Content-Length: 20\r\n\r\n", *[bytes(10)] * 2, pause=0.6
        )
        assert answers(received) == [(200, b"POST / 20")]


@virtual_time.MARK
async def test_no_deadline_runs_while_an_answer_is_read(caplog: pytest.LogCaptureFixture):
    app = exchanging(Library(), other=0.1)
    async with serving(app, send_buffer=4096) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        writer.write(get("/100000"))
        writer.write(get("/100000"))
        await asyncio.sleep(0.3)
        received = 0
        while received < 200_000:
            received += len(await reader.read(100_000))
        writer.close()
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING]
