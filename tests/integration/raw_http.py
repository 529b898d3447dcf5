"""A server with the service's own HTTP connection, and talk with it byte by byte."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn

from image_service.api.middleware.exchange import Exchange, Limits
from image_service.server.connection import Connection
from image_service.server.room import Room

App = Callable[..., Awaitable[None]]
_LENGTH = re.compile(rb"^content-length: (\d+)\r?$", re.IGNORECASE | re.MULTILINE)


class Hurried(Connection):
    """The same, for the impatient."""

    header_seconds = 0.3
    unread_seconds = 0.5


class Echo:
    """Tells method, path and the length of the body it read.

    `/slow…` takes half a second more, `/deaf…` does not even look at its body.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.disconnects = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while not scope["path"].startswith("/deaf"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"].startswith(("/slow", "/deaf")):
            await asyncio.sleep(0.5)
        self.headers = scope["headers"]
        self.requests.append(f"{scope['method']} {scope['path']} {len(body)}")
        await answer(send, self.requests[-1].encode())


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def exchanging(app: App, **limits: float) -> App:
    """`app`, held to the bounds of an exchange, and nothing else around it."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange(scope, receive, send, "an-id", Limits(**limits))  # type: ignore[arg-type]
        await exchange.within_time(app(scope, exchange.receive, exchange.send))

    return asgi


@dataclass(frozen=True)
class Serving:
    port: int
    connections: set[Any]

    async def talk(self, *pieces: bytes, pause: float = 0.0, half_close: bool = False) -> bytes:
        """Send pieces with pauses of `pause` seconds; all that is answered until the close."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        reading = asyncio.create_task(reader.read())
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            if half_close:
                writer.write_eof()
        except ConnectionError:
            pass  # cut off while sending; the answer may be there all the same
        async with asyncio.timeout(15):
            try:
                return await reading
            except ConnectionResetError:
                return b"reset"
            finally:
                writer.close()


@asynccontextmanager
async def serving(
    app: App,
    protocol: Callable[..., Connection] = Hurried,
    *,
    send_buffer: int | None = None,
    receive_buffer: int | None = None,
    room: Room | None = None,
) -> AsyncIterator[Serving]:
    """`…_buffer`: bytes, about, that the kernel keeps of what nobody reads."""
    config = uvicorn.Config(
        app,
        http=partial(protocol, room=room or Room()),  # type: ignore[arg-type]  # it is only called
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=2,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for option, size in ((socket.SO_SNDBUF, send_buffer), (socket.SO_RCVBUF, receive_buffer)):
            if size is not None:
                listening.setsockopt(socket.SOL_SOCKET, option, size)
        task = asyncio.create_task(server._serve([listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield Serving(listening.getsockname()[1], server.server_state.connections)
        finally:
            server.should_exit = True
            await task


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; all must be whole, with nothing in between."""
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        assert end, received[:200]
        assert length, head
        size = int(length[1])
        assert len(rest) >= size
        found.append((int(head[9:12]), rest[:size]))
        received = rest[size:]
    return found


def refusal(received: bytes) -> tuple[int, str]:
    """Status and code of an answer that must be the envelope, and the only one."""
    [(status, body)] = answers(received)
    headers = received.lower()
    for line in (b"connection: close", b"cache-control: no-store", b"x-request-id: "):
        assert line in headers
    error = json.loads(body)
    assert set(error) == {"error", "message", "code", "details", "requestId"}
    return status, error["code"]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
