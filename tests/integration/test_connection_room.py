"""Places on a full server: health checks always have one, and what can be spared gives way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.integration.raw_http import POST, Serving, answer, exchanging, get, refusal, serving

from image_service.api.routes import health
from image_service.server.connection import Connection
from image_service.server.room import Room

BODY_TO_COME = POST + b"Content-Length: 1000\r\n\r\n"


class Places:
    """`/held` waits for the body, `/large` answers more than the kernel keeps, all else `here`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            await receive()
        await answer(send, bytes(2**22) if scope["path"] == "/large" else b"here")


HELD = BODY_TO_COME.replace(b"/", b"/held", 1)
KINDS = {
    "idle": (b"", True),
    "half a head": (b"GET / HTT", True),
    "answered, its body to come": (BODY_TO_COME, True),
    "leaves its answer unread": (get("/large"), True),
    "in service": (HELD, False),
}


async def hold(server: Serving, said: bytes, number: int) -> list[asyncio.StreamWriter]:
    writers = []
    for _ in range(number):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of its reading half
        writer.write(said)
        writers.append(writer)
    await asyncio.sleep(0.2)
    return writers


@pytest.mark.parametrize(("said", "gives_way"), KINDS.values(), ids=KINDS)
async def test_what_can_be_spared_gives_way(said: bytes, *, gives_way: bool):
    app = exchanging(Places(), drain_seconds=10)
    async with serving(app, Connection, room=Room(3, extra=1), send_buffer=4096) as server:
        writers = await hold(server, said, 6)
        asking = get("/").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        received = await server.talk(asking)
        if gives_way:
            assert received.startswith(b"HTTP/1.1 200")
        else:
            assert refusal(received) == (503, "OVERLOADED")
            assert b"3 connections are being served" in received
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize("path", sorted(health.PROBES))
@pytest.mark.parametrize("said", [said for said, _ in KINDS.values()], ids=KINDS)
async def test_a_health_check_always_has_a_place(path: str, said: bytes):
    app = exchanging(Places(), drain_seconds=10)
    async with serving(app, Connection, room=Room(3, extra=1), send_buffer=4096) as server:
        writers = await hold(server, said, 6)
        asking = get(f"{path}?by=lb").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for _ in range(5):
            assert (await server.talk(asking)).startswith(b"HTTP/1.1 200")
        for writer in writers:
            writer.transport.abort()


async def test_where_descriptors_run_out_idle_connections_go_and_the_log_says_so():
    room = Room(100, extra=1, descriptors=1)  # any number is beyond that
    async with serving(Places(), Connection, room=room) as server:
        with capture_logs() as lines:
            writers = await hold(server, b"", 5)
            assert len(server.connections) == 1
        [line] = [line for line in lines if line["event"] == "descriptors_scarce"]
        assert (line["log_level"], line["limit"]) == ("error", 1)
        for writer in writers:
            writer.transport.abort()
