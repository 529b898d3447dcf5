"""HTTP as an attacker writes it, on real sockets, against the server's own connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from structlog.testing import capture_logs
from tests import virtual_time
from tests.integration.raw_http import (
    CHUNKED,
    POST,
    Echo,
    Hurried,
    Serving,
    answers,
    get,
    refusal,
    serving,
)
from tests.scraping import Samples

from image_service.server.room import Room
from image_service.telemetry.telemetry import Telemetry


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[Serving]:
    with virtual_time.running(serving_still(echo)) as server:
        yield server


@asynccontextmanager
async def serving_still(echo: Echo) -> AsyncIterator[Serving]:
    async with serving(echo) as server:
        yield server
        still = b"GET /still HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await server.talk(still)).startswith(b"HTTP/1.1 200")


LENGTH = POST + b"Content-Length: 5\r\n"
MALFORMED = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "version 2": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "no such method": b"STEAL / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET http://host HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "negative length": POST + b"Content-Length: -5\r\n\r\n",
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "no number": POST + b"Content-Length: ten\r\n\r\n",
    "two lengths": LENGTH + b"Content-Length: 6\r\n\r\nhello!",
    "the same length twice": LENGTH + b"Content-Length: 5\r\n\r\nhello",
    "length in two parts": POST + b"Content-Length: 5, 6\r\n\r\nhello!",
    "endless length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "two types": LENGTH + b"Content-Type: a/b\r\ncontent-type: a/b\r\n\r\nhello",
    "two codings": LENGTH + b"Content-Encoding: gzip\r\nContent-Encoding: br\r\n\r\nhello",
    "length and chunks": LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked not first": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "hidden encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks before their time": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
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
@virtual_time.MARK
async def test_what_is_no_http_is_refused_in_the_envelope(
    server: Serving, echo: Echo, request_bytes: bytes
):
    answered = await server.talk(request_bytes + get("/smuggled"))
    assert refusal(answered) == (400, "MALFORMED_BODY")
    assert not any("smuggled" in line for line in echo.requests)


@virtual_time.MARK
async def test_a_refusal_is_logged_like_any_request(server: Serving):
    with capture_logs() as lines:
        await server.talk(MALFORMED["no host"])
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["status"], line["code"]) == (400, "MALFORMED_BODY")
    assert set(line) == {
        *("event", "log_level", "request_id", "method", "route", "status", "code"),
        *("duration_ms", "bytes_in", "bytes_out", "user_id"),
    }


@virtual_time.MARK
async def test_what_is_refused_before_there_is_a_request_is_counted(echo: Echo):
    telemetry = Telemetry()

    def refused() -> dict[str, float]:
        samples, codes = Samples.of(telemetry), ("MALFORMED_BODY", "UPLOAD_TIMEOUT", "OVERLOADED")
        return {code: samples("connections_refused_total", code=code) for code in codes}

    async with serving(
        echo, partial(Hurried, telemetry=telemetry), room=Room(1, extra=0)
    ) as server:
        await server.talk(MALFORMED["no host"])
        await server.talk(b"GET / HTTP/1.1\r\n", pause=0.5)
        assert refused() == {"MALFORMED_BODY": 1, "UPLOAD_TIMEOUT": 1, "OVERLOADED": 0}
        slow = asyncio.create_task(server.talk(get("/slow"), half_close=True))
        while not server.connections:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert refusal(await server.talk()) == (503, "OVERLOADED")
        assert len(answers(await slow)) == 1
        # The application has this one, and will tell of it itself.
        await server.talk(MALFORMED["chunk longer than it says"])
    assert refused() == {"MALFORMED_BODY": 1, "UPLOAD_TIMEOUT": 1, "OVERLOADED": 1}


@virtual_time.MARK
async def test_old_clients_need_no_host(server: Serving):
    assert answers(await server.talk(b"GET /old HTTP/1.0\r\n\r\n")) == [(200, b"GET /old 0")]


@pytest.mark.parametrize(
    ("request_bytes", "said"),
    [
        *(
            (f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"), "percent-encoded")
            for url in ("/a?tag=Ch\xe2teau", "/\xc3\xa2", "/a b", "/a?tag=a b", "/a\tb", "/\x7f")
        ),
        (b"STEAL / HTTP/1.1\r\nHost: x\r\n\r\n", "it begins with no known method"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "it begins with no known method"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX y: 1\r\n\r\n", "Invalid header token"),
        (LENGTH.replace(b"5", b"five") + b"\r\n", "Invalid character in Content-Length"),
        (CHUNKED + b"zz\r\n", "Invalid character in chunk size"),
    ],
)
@virtual_time.MARK
async def test_a_refusal_says_what_is_wrong(server: Serving, request_bytes: bytes, said: str):
    answered = await server.talk(request_bytes)
    assert refusal(answered) == (400, "MALFORMED_BODY")
    message = json.loads(answered.partition(b"\r\n\r\n")[2])["message"]
    assert said in message
    assert "no HTTP;" not in message


@pytest.mark.parametrize(("version", "interim"), [("1.1", True), ("1.0", False)])
@virtual_time.MARK
async def test_only_new_clients_are_told_to_continue(server: Serving, version: str, interim: bool):
    head = POST.replace(b"1.1", version.encode()) + b"Content-Length: 5\r\nConnection: close\r\n"
    answered = await server.talk(head + b"Expect: 100-continue\r\n\r\n", b"hello", pause=0.1)
    assert answered.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") is interim
    final = answered.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert [status for status, _ in answers(final)] == [200]


@virtual_time.MARK
async def test_headers_that_come_too_slowly_are_cut_off(server: Serving):
    started = asyncio.get_running_loop().time()
    pieces = [b"GET / HTTP/1.1\r\n"] + [b"X-A: b\r\n"] * 5
    assert refusal(await server.talk(*pieces, pause=0.1)) == (408, "UPLOAD_TIMEOUT")
    assert asyncio.get_running_loop().time() - started < 5


@pytest.mark.parametrize("ahead", [False, True], ids=["after", "ahead"])
@virtual_time.MARK
async def test_a_second_request_has_no_more_time_for_its_headers(server: Serving, ahead: bool):
    """Sent after the first one's answer, or before it: then the time begins with the answer."""
    first, start = get("/slow" if ahead else "/1"), b"GET /2 HTTP/1.1\r\n"
    pieces = [first + start] if ahead else [first, start]
    received = await server.talk(*pieces, *[b"X: y\r\n"] * 15, pause=0.1)
    second = received.index(b"HTTP/1.1 408")
    assert [status for status, _ in answers(received[:second])] == [200]
    assert refusal(received[second:]) == (408, "UPLOAD_TIMEOUT")


@pytest.mark.parametrize("pieces", [[], [b"\r\n"] * 25], ids=["silent", "blank lines"])
@virtual_time.MARK
async def test_a_connection_without_a_request_is_closed(server: Serving, pieces: list[bytes]):
    started = asyncio.get_running_loop().time()
    # None is sent in the very moment of the close: what was not read makes it a reset.
    assert await server.talk(*pieces, pause=0.15) == b""
    assert asyncio.get_running_loop().time() - started < 8


@virtual_time.MARK
async def test_an_idle_connection_is_closed_and_a_busy_one_kept(server: Serving):
    pieces = [get(f"/{number}") for number in range(4)]
    assert len(answers(await server.talk(*pieces, pause=1))) == 4


HUGE_HEADS = {
    "one header": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * 8192),
    "path": (b"GET /", b"a" * 8192),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-A: b\r\n" * 1024),
    "tiny headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:\r\n" * 30),
    "spaces": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A:", b" " * 8192),
    "blank lines": (b"", b"\r\n" * 4096),
}
HUGE_FRAMES = {
    "trailers": (CHUNKED + b"0\r\n", b"X-Trailer: b\r\n" * 512),
    "trailers after a body": (
        CHUNKED + b"80000\r\n" + bytes(0x80000) + b"\r\n0\r\n",
        b"a:\r\n" * 512,
    ),
    "chunk extension": (CHUNKED + b"5;", b"a" * 8192),
    "tiny chunks": (CHUNKED, b"1\r\na\r\n" * 1024),
}


@pytest.mark.parametrize(
    "endless", [*HUGE_HEADS.values(), *HUGE_FRAMES.values()], ids=[*HUGE_HEADS, *HUGE_FRAMES]
)
@virtual_time.MARK
async def test_what_surrounds_a_body_is_bounded(server: Serving, endless: tuple[bytes, bytes]):
    start, more = endless
    assert refusal(await server.talk(start, *[more] * 200)) == (400, "MALFORMED_BODY")


@pytest.mark.parametrize("huge", HUGE_HEADS.values(), ids=HUGE_HEADS)
@virtual_time.MARK
async def test_a_head_that_comes_all_at_once_is_no_larger(
    server: Serving, huge: tuple[bytes, bytes]
):
    start, more = huge
    received = await server.talk(start + more * 5)
    assert refusal(received) == (400, "MALFORMED_BODY")
    received = await server.talk(get("/before") + start + more * 5)
    assert answers(received)[0] == (200, b"GET /before 0")
    assert len(received) < 1000


@virtual_time.MARK
async def test_a_path_that_comes_all_at_once_is_no_longer(server: Serving):
    assert answers(await server.talk(get("/" + "a" * 30_000)))[0][0] == 200
    assert refusal(await server.talk(get("/" + "a" * 33_000))) == (400, "MALFORMED_BODY")


@virtual_time.MARK
async def test_a_large_head_passes(server: Serving):
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 200) for number in range(99))
    request = POST + fields + b"\r\n"
    assert answers(await server.talk(request, request)) == [(200, b"POST / 0")] * 2


@virtual_time.MARK
async def test_a_body_in_many_pieces_earns_no_room_for_trailers(server: Serving):
    pieces = [bytes(64)] * 8000
    start = CHUNKED + b"%x\r\n" % (64 * len(pieces))
    trailers = [b"a:\r\n" * 512] * 22
    received = await server.talk(start, *pieces, b"\r\n0\r\n", *trailers)
    assert refusal(received) == (400, "MALFORMED_BODY")


@virtual_time.MARK
async def test_what_surrounds_one_body_does_not_count_for_the_next(server: Serving):
    request = CHUNKED + b"0\r\n" + b"X-Trailer: b\r\n" * 700 + b"\r\n"
    assert answers(await server.talk(*[request] * 5, pause=0.1)) == [(200, b"POST / 0")] * 5


@pytest.mark.parametrize("size", [16, 1024])
@virtual_time.MARK
async def test_chunks_as_clients_send_them_pass(server: Serving, size: int):
    chunk = b"%x\r\n" % size + bytes(size) + b"\r\n"
    received = await server.talk(CHUNKED, *[chunk * 8] * 1000, b"0\r\n\r\n")
    assert answers(received) == [(200, b"POST / %d" % (size * 8000))]


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@virtual_time.MARK
async def test_a_trailer_is_no_header(server: Serving, echo: Echo, apart: bool):
    pieces = [CHUNKED + b"0\r\n", b"Authorization: Bearer x\r\n\r\n"]
    received = await server.talk(*(pieces if apart else [b"".join(pieces)]), pause=0.1)
    assert answers(received) == [(200, b"POST / 0")]
    assert b"authorization" not in dict(echo.headers)


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0"])
@virtual_time.MARK
async def test_an_offer_to_upgrade_is_refused(
    server: Serving, echo: Echo, protocol: str, chunked: bool, apart: bool
):
    """Above all, the body is not taken for the next request."""
    body = get("/smuggled")
    length = len(body)
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (length, body)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % length
    offer = b"Connection: keep-alive, Upgrade\r\nUpgrade: %s\r\n" % protocol.encode()
    pieces = [POST + offer + framing + b"\r\n\r\n", body]
    received = await server.talk(*(pieces if apart else [b"".join(pieces)]), pause=0.1)
    assert refusal(received) == (400, "MALFORMED_BODY")
    assert b"Connection: Upgrade" in received
    assert echo.requests == []


@virtual_time.MARK
async def test_an_upgrade_that_is_not_offered_is_a_header_like_others(server: Serving, echo: Echo):
    """A proxy that drops `Connection` may leave it; then the body ends where it says."""
    request = POST + b"Upgrade: h2c\r\nContent-Length: 5\r\n\r\n"
    received = await server.talk(request + b"hello" + get("/next"))
    assert answers(received) == [(200, b"POST / 5"), (200, b"GET /next 0")]
    assert (b"upgrade", b"h2c") not in echo.headers  # those of the second


@virtual_time.MARK
async def test_a_body_shorter_than_announced_is_no_request(server: Serving, echo: Echo):
    request = POST + b"Content-Length: 100\r\n\r\nshort"
    assert await server.talk(request, half_close=True) == b""
    assert echo.requests == []
