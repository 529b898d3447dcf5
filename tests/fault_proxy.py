"""A proxy that fails as networks and servers do, between the service and what it depends on.

Whole requests and answers are read, so that a rule can name which of them meets which
fault; rules come and go while the proxy runs.

    async with FaultProxy(emulator).running() as proxy:
        rule = proxy.add(answer_lost, on="TransactWriteItems", times=1)
        ...                       # proxy.url stands in for the emulator's
        assert rule.met == 1
        proxy.heal()              # from now on all goes well again

A request is described by its method, its path and, for DynamoDB, its operation: "PUT
/bucket/key", "POST / PutItem"; one to Redis by its first commands: "EVALSHA 2f3c…". `on`
is searched for in that as a regular expression; `holding` in the request's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import hiredis

_MAX_BYTES = 32 * 2**20  # of a request or an answer
_MAX_CONNECTIONS = 500
LONGEST = 60.0  # seconds; nothing is held up for longer
_BLANK = b"\r\n\r\n"


@dataclass
class Exchange:
    """A request, and the means to deal with it. `forward` gets the whole answer."""

    request: bytes
    described: str
    forward: Callable[[], Awaitable[bytes]]
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with RST: what a crashed peer or a firewall does."""
        raw = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Fault = Callable[[Exchange], Awaitable[None]]


# Faults ----------------------------------------------------------------------------------


async def passed_on(exchange: Exchange) -> None:
    await exchange.send(await exchange.forward())


async def reset(exchange: Exchange) -> None:
    """Nobody has acted on the request."""
    exchange.reset()


async def black_hole(exchange: Exchange) -> None:
    """Nobody has acted on the request, and nobody ever says so."""
    await asyncio.sleep(LONGEST)


async def answer_lost(exchange: Exchange) -> None:
    """Acted on, but the connection breaks before the answer."""
    await exchange.forward()
    exchange.reset()


async def answer_withheld(exchange: Exchange) -> None:
    """Acted on, and nobody ever says so."""
    await exchange.forward()
    await asyncio.sleep(LONGEST)


async def truncated(exchange: Exchange) -> None:
    """Acted on; the connection ends in the middle of the answer, without a word."""
    answer = await exchange.forward()
    await exchange.send(answer[: len(answer) * 2 // 3])
    exchange.writer.close()


async def garbage(exchange: Exchange) -> None:
    """Not acted on; what comes back is not of the protocol."""
    await exchange.send(b"\x00\xffgarbage\r\n" * 20)
    exchange.writer.close()


def latency(seconds: float) -> Fault:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await passed_on(exchange)

    return slow


def http_answer(status: int, body: bytes = b"", content_type: str = "text/plain") -> Fault:
    """An answer of the proxy's own; the request goes no further."""
    head = (
        f"HTTP/1.1 {status} Fault\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return raw_answer(head.encode() + body)


def raw_answer(data: bytes) -> Fault:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)

    return answer


def dynamodb_error(code: str, status: int = 400) -> Fault:
    name = f"com.amazonaws.dynamodb.v20120810#{code}"
    body = json.dumps({"__type": name, "message": "SECRET-DETAIL"}).encode()
    return http_answer(status, body, "application/x-amz-json-1.0")


def s3_error(code: str, status: int = 503) -> Fault:
    body = f"<Error><Code>{code}</Code><Message>SECRET-DETAIL</Message></Error>"
    return http_answer(status, body.encode(), "application/xml")


def redis_error(text: str) -> Fault:
    return raw_answer(f"-{text}\r\n".encode())


# The proxy -------------------------------------------------------------------------------


@dataclass
class Rule:
    """Lets `skip` of the requests it is for pass, then has `times` of them meet its fault."""

    fault: Fault
    on: str = ""
    holding: bytes = b""
    skip: int = 0
    times: int | None = None
    met: int = 0

    def wants(self, request: bytes, described: str) -> bool:
        if not re.search(self.on, described) or self.holding not in request:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None and self.met >= self.times:
            return False
        self.met += 1
        return True


@dataclass
class FaultProxy:
    """Stands before `upstream`, an http:// or redis:// URL. `requests` describes all it saw."""

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    def add(
        self,
        fault: Fault,
        *,
        on: str = "",
        holding: bytes = b"",
        skip: int = 0,
        times: int | None = None,
    ) -> Rule:
        rule = Rule(fault, on, holding, skip, times)
        self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """No more faults, and no connection left that one of them holds up."""
        self.rules.clear()
        self.cut()

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        target = urlsplit(self.upstream)
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_MAX_BYTES)
        self.url = f"{target.scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._serving):
                task.cancel()
            self.cut()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._open.add(writer)
        try:
            # A peer that goes away is what the proxy is for; a cancelled one is at its end.
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.CancelledError, EOFError
            ):
                if len(self._open) <= _MAX_CONNECTIONS:
                    is_http = self.upstream.startswith("http")
                    await (self._serve_http if is_http else self._serve_redis)(reader, writer)
        finally:
            self._open.discard(writer)
            self._serving.discard(task)
            writer.close()

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection, so that every answer ends where the connection does."""
        request = await _http_request(reader)
        await self._meet(
            Exchange(request, _http_description(request), lambda: self._over_http(request), writer)
        )

    async def _over_http(self, request: bytes) -> bytes:
        head, _, body = request.partition(_BLANK)
        upstream, sender = await self._connect()
        try:
            sender.write(_closing(head) + _BLANK + body)
            answer = await upstream.read(_MAX_BYTES)
            while data := await upstream.read(_MAX_BYTES):
                answer += data
            head, _, body = answer.partition(_BLANK)
            return _closing(head) + _BLANK + body
        finally:
            sender.close()

    async def _serve_redis(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A connection of its own upstream for each, as many replies as there were commands."""
        upstream, sender = await self._connect()
        try:
            while data := await reader.read(_MAX_BYTES):
                commands = await _redis_messages(data, reader, least=1)

                async def forward(request: bytes = commands.raw, count: int = commands.count):
                    sender.write(request)
                    reply = await upstream.read(_MAX_BYTES)
                    return (await _redis_messages(reply, upstream, least=count)).raw

                await self._meet(Exchange(commands.raw, commands.described, forward, writer))
        finally:
            sender.close()

    async def _meet(self, exchange: Exchange) -> None:
        self.requests.append(exchange.described)
        chosen = (rule for rule in self.rules if rule.wants(exchange.request, exchange.described))
        rule = next(chosen, None)
        async with asyncio.timeout(LONGEST + 1):
            await (rule.fault if rule else passed_on)(exchange)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = urlsplit(self.upstream)
        return await asyncio.open_connection(target.hostname, target.port, limit=_MAX_BYTES)


# The protocols ---------------------------------------------------------------------------


async def _http_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(_BLANK)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    size = int(length[1]) if length else 0
    if size > _MAX_BYTES:
        raise EOFError
    return head + await reader.readexactly(size)


def _http_description(request: bytes) -> str:
    head = request.partition(_BLANK)[0].decode("latin-1")
    method, path, _ = head.split(" ", 2)
    operation = re.search(r"(?i)\r\nx-amz-target: *\w+\.(\w+)", head)
    return f"{method} {path}" + (f" {operation[1]}" if operation else "")


def _closing(head: bytes) -> bytes:
    """The same head, whatever it says of connections replaced by that this one ends."""
    lines = [
        line
        for line in head.split(b"\r\n")
        if not re.match(rb"(?i)(connection|keep-alive|expect):", line)
    ]
    return b"\r\n".join([*lines, b"Connection: close"])


@dataclass
class _Messages:
    raw: bytes
    count: int
    described: str


async def _redis_messages(data: bytes, reader: asyncio.StreamReader, *, least: int) -> _Messages:
    """`data` and what else comes until it is whole messages, and at least so many."""
    parser = hiredis.Reader()
    parser.feed(data)
    found = []
    while True:
        # False stands for "not yet"; no message of the second protocol is one.
        while (message := parser.gets()) is not False:
            found.append(message)
        if len(found) >= least and not parser.has_data():
            break
        more = await reader.read(_MAX_BYTES)
        if not more:
            raise EOFError
        parser.feed(more)
        data += more
    commands = [message for message in found if isinstance(message, list) and message]
    names = [
        b" ".join(word for word in command[:2] if isinstance(word, bytes)) for command in commands
    ]
    return _Messages(data, len(found), b"; ".join(names)[:200].decode("latin-1"))
