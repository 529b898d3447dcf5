"""gzip off the event loop: in turns by size, and whole."""

from __future__ import annotations

import asyncio
import gzip
import random
import threading
from typing import Any

import pytest

from image_service.api.middleware import compression
from image_service.api.middleware.compression import Compression

SIZES = {"small": 4_000, "medium": 100_000, "large": 1_000_000}
BODIES = {
    name: random.Random(1).randbytes(size // 2).hex().encode() for name, size in SIZES.items()
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = BODIES[scope["path"]]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def asked(middleware: Compression, path: str) -> bytes:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"accept-encoding", b"gzip")]}
    await middleware(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    return gzip.decompress(sent[1]["body"])


class Watched:
    """How many bodies were compressed side by side, by size, and whether on the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, holding: str) -> None:
        self.holding = SIZES[holding]
        self.loop = threading.get_ident()
        self.on_the_loop: set[int] = set()
        self.running: list[int] = []
        self.most = 0
        self.held = threading.Event()
        real = compression._Responder._compress_body

        def watched(responder: Any, body: bytes, more_body: bool) -> bytes:  # as there
            if threading.get_ident() == self.loop:
                self.on_the_loop.add(len(body))
                return real(responder, body, more_body)
            self.running.append(len(body))
            self.most = max(self.most, self.running.count(len(body)))
            if len(body) == self.holding:
                self.held.wait(60)
            self.running.remove(len(body))
            return real(responder, body, more_body)

        monkeypatch.setattr(compression._Responder, "_compress_body", watched)


async def test_large_bodies_take_turns_and_delay_no_smaller_one(monkeypatch: pytest.MonkeyPatch):
    watched = Watched(monkeypatch, "large")
    middleware = Compression(app)
    large = [asyncio.create_task(asked(middleware, "large")) for _ in range(4)]
    try:
        async with asyncio.timeout(60):
            for name in ("medium", "small"):
                assert await asked(middleware, name) == BODIES[name]
        assert not any(task.done() for task in large)
    finally:
        watched.held.set()
    assert set(await asyncio.gather(*large)) == {BODIES["large"]}
    assert watched.most == 1
    assert watched.on_the_loop == {SIZES["small"]}


async def test_medium_bodies_take_turns_and_delay_no_other(monkeypatch: pytest.MonkeyPatch):
    watched = Watched(monkeypatch, "medium")
    middleware = Compression(app)
    medium = [asyncio.create_task(asked(middleware, "medium")) for _ in range(4)]
    try:
        async with asyncio.timeout(60):
            for name in ("large", "small"):
                assert await asked(middleware, name) == BODIES[name]
        assert not any(task.done() for task in medium)
    finally:
        watched.held.set()
    assert set(await asyncio.gather(*medium)) == {BODIES["medium"]}
    assert watched.most == 1
