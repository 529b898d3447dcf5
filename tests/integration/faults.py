"""A server that fails as the network and AWS do, in front of a real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

Fault = Callable[["FaultyServer", bytes], Any]


class FaultyServer:
    """Meets each request with the next of `script`; when that is used up, passes it on."""

    def __init__(self, engine: str) -> None:
        self._engine = urlsplit(engine)
        self._server: asyncio.Server | None = None
        self.script: list[Fault] = []
        self.bodies: list[dict[str, Any]] = []
        # Held, for asyncio does not: one that waits for an engine, when its client has given
        # up, would be garbage.
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            self.stop_listening()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            request = await _read_message(reader)
            body = request.partition(b"\r\n\r\n")[2]
            if body.startswith(b"{"):
                self.bodies.append(json.loads(body))
            fault = self.script.pop(0) if self.script else passed_on
            writer.write(await fault(self, request))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has given up
        except asyncio.CancelledError:
            pass  # at the end of `running`
        finally:
            writer.close()

    async def forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._engine.hostname, self._engine.port)
        try:
            head, blank, body = request.partition(b"\r\n\r\n")
            writer.write(head + b"\r\nConnection: close" + blank + body)
            answer = await _read_message(reader)
            head, blank, body = answer.partition(b"\r\n\r\n")
            return head + b"\r\nConnection: close" + blank + body
        finally:
            writer.close()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


async def passed_on(server: FaultyServer, request: bytes) -> bytes:
    return await server.forward(request)


async def lost_request(server: FaultyServer, request: bytes) -> bytes:
    """The connection breaks once the request has been sent; nobody has acted on it."""
    return b""


async def silence(server: FaultyServer, request: bytes) -> bytes:
    """Longer than any client of the tests has patience."""
    await asyncio.sleep(3)
    return b""


async def lost_answer(server: FaultyServer, request: bytes) -> bytes:
    """The engine acts on the request, but its answer never arrives."""
    await server.forward(request)
    return b""


async def last_connection(server: FaultyServer, request: bytes) -> bytes:
    """As a lost request; from then on nothing listens any more."""
    server.stop_listening()
    return b""


def refusal(code: str, *, status: int = 400, reasons: tuple[str, ...] = ()) -> Fault:
    """DynamoDB's way of saying no; `reasons` are those of a cancelled transaction."""
    answer = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{code}",
        "message": "SECRET-TABLE says no",
    }
    if reasons:
        answer["CancellationReasons"] = [{"Code": reason} for reason in reasons]  # type: ignore[assignment]
    return _answering(json.dumps(answer).encode(), status, "application/x-amz-json-1.0")


def json_answer(body: str) -> Fault:
    return _answering(body.encode(), 200, "application/x-amz-json-1.0")


def xml_answer(body: str, *, status: int = 200) -> Fault:
    return _answering(body.encode(), status, "application/xml")


def _answering(body: bytes, status: int, content_type: str) -> Fault:
    head = (
        f"HTTP/1.1 {status} Status\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )

    async def answer(server: FaultyServer, request: bytes) -> bytes:
        return head.encode() + body

    return answer
