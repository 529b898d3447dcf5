"""HTTP as an attacker writes it, on real sockets, against the server's own connection."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn

from image_service.connections import Connection

Talk = Callable[..., Awaitable[bytes]]


class Hurried(Connection):
    """The same, for the impatient."""

    header_seconds = 0.3


class Echo:
    """Tells method, path and the length of the body it read."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.requests.append(f"{scope['method']} {scope['path']} {len(body)}")
        answer = self.requests[-1].encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo,
        http=Hurried,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=2,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server._serve([listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.fixture
async def talk(port: int) -> AsyncIterator[Talk]:
    """Send pieces, with pauses of `pause` seconds; all that is answered until the close."""

    async def talked(*pieces: bytes, pause: float = 0.0) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        reading = asyncio.create_task(reader.read())
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass  # cut off while sending; the answer may be there all the same
        async with asyncio.timeout(5):
            try:
                return await reading
            except ConnectionResetError:
                return b"reset"
            finally:
                writer.close()

    yield talked
    assert (await talked(b"GET /still HTTP/1.1\r\nConnection: close\r\n\r\n")).startswith(
        b"HTTP/1.1 200"
    )


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer that must be the envelope, and the last on its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = head.lower()
    for line in (b"connection: close", b"cache-control: no-store", b"x-request-id: "):
        assert line in headers
    error = json.loads(body)
    assert set(error) == {"error", "message", "code", "details", "requestId"}
    return int(head[9:12]), error["code"]


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\n\r\n",
    "no such method": b"STEAL / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET http://host HTTP/1.1\r\nHost: x\r\n\r\n",
    "negative length": POST + b"Content-Length: -5\r\n\r\n",
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "no number": POST + b"Content-Length: ten\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length in two parts": POST + b"Content-Length: 5, 6\r\n\r\nhello!",
    "endless length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "hidden encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "folded header": POST + b"X-A: one\r\n two\r\nContent-Length: 5\r\n\r\nhello",
    "bare carriage return": POST + b"X-A: one\rContent-Length: 5\r\n\r\nhello",
    "zero byte in a header": POST + b"X-A: \0\r\n\r\n",
    "chunk size no number": CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"f" * 40 + b"\r\n",
    "chunk longer than it says": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_http_is_refused_in_the_envelope(
    talk: Talk, echo: Echo, request_bytes: bytes
):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    assert refusal(await talk(request_bytes + smuggled)) == (400, "MALFORMED_BODY")
    assert not any("smuggled" in line for line in echo.requests)


async def test_headers_that_come_too_slowly_are_cut_off(talk: Talk):
    started = asyncio.get_running_loop().time()
    pieces = [b"GET / HTTP/1.1\r\n"] + [b"X-A: b\r\n"] * 5
    assert refusal(await talk(*pieces, pause=0.1)) == (408, "UPLOAD_TIMEOUT")
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_second_request_has_no_more_time_for_its_headers(talk: Talk):
    pieces = [b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /2 HTTP/1.1\r\n"] + [b"X: y\r\n"] * 10
    answer = await talk(*pieces, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 200")
    assert refusal(answer[answer.index(b"HTTP/1.1 408") :]) == (408, "UPLOAD_TIMEOUT")


@pytest.mark.parametrize("pieces", [[], [b"\r\n"] * 25], ids=["silent", "blank lines"])
async def test_a_connection_without_a_request_is_closed(talk: Talk, pieces: list[bytes]):
    started = asyncio.get_running_loop().time()
    assert await talk(*pieces, pause=0.1) == b""
    assert asyncio.get_running_loop().time() - started < 4


async def test_an_idle_connection_is_closed_and_a_busy_one_kept(talk: Talk):
    pieces = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(4)]
    assert (await talk(*pieces, pause=1)).count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize(
    "endless",
    [
        (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 8192),
        (b"GET /", b"a" * 8192),
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * 1024),
        (CHUNKED + b"0\r\n", b"X-Trailer: b\r\n" * 512),
        (CHUNKED + b"5;", b"a" * 8192),
        (CHUNKED, b"1\r\na\r\n" * 1024),
    ],
    ids=["one header", "path", "headers", "trailers", "chunk extension", "tiny chunks"],
)
async def test_what_surrounds_a_body_is_bounded(talk: Talk, endless: tuple[bytes, bytes]):
    start, more = endless
    assert refusal(await talk(start, *[more] * 200)) == (400, "MALFORMED_BODY")


async def test_chunks_as_clients_send_them_pass(talk: Talk):
    chunk = b"400\r\n" + b"a" * 1024 + b"\r\n"
    answer = await talk(CHUNKED, *[chunk * 8] * 100, b"0\r\n\r\n")
    assert answer.endswith(b"POST / 819200")


async def test_requests_sent_ahead_are_bounded(talk: Talk, echo: Echo):
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await talk(one * 6)).count(b"HTTP/1.1 200") == 6
    echo.requests.clear()
    assert refusal(await talk(one * 5000)) == (400, "MALFORMED_BODY")
    assert len(echo.requests) < 10


async def test_a_body_shorter_than_announced_is_no_request(port: int, echo: Echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"Content-Length: 100\r\n\r\nshort")
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert echo.requests == []
