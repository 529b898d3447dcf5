"""A real HTTP server for a JWKS, with a count of what it was asked and faults to order.

async with JwksServer(issuer.jwks()) as server:
    server.url, server.requests
    server.status = 500          # from now on
    await server.stop()          # connections are refused
    await server.start()         # on the same port again
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Self


class JwksServer:
    """Answers every GET with `body` and `status`, after `delay` seconds."""

    def __init__(self, jwks: dict[str, Any] | None = None) -> None:
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.body = b""
        self.delay = 0.0
        self.drip = 0.0  # seconds between one byte of an answer and the next
        self.hang_up = False  # close the connection instead of answering
        self.answering = asyncio.Event()  # cleared, it takes requests and says nothing
        self.answering.set()
        self.requests = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self.publish(jwks or {"keys": []})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/.well-known/jwks.json"

    def publish(self, jwks: object) -> None:
        self.body = json.dumps(jwks).encode()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.answering.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that gives up early is part of the tests.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            await asyncio.sleep(self.delay)
            await self.answering.wait()
            if not self.hang_up:
                for piece in self._pieces():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(self.drip)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def _pieces(self) -> list[bytes]:
        answer = self._answer()
        return [bytes([byte]) for byte in answer] if self.drip else [answer]

    def _answer(self) -> bytes:
        headers = {**self.headers, "Content-Length": str(len(self.body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} Test", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body
