"""Places on a full server: health checks always have one, and what can be spared gives way."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import virtual_time
from tests.integration.raw_http import POST, Serving, answer, exchanging, get, refusal, serving

from image_service.api.routes import health
from image_service.server.connection import Connection
from image_service.server.room import Room, _open_files
from image_service.telemetry.telemetry import Telemetry

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
@virtual_time.MARK
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
@virtual_time.MARK
async def test_a_health_check_always_has_a_place(path: str, said: bytes):
    app = exchanging(Places(), drain_seconds=10)
    async with serving(app, Connection, room=Room(3, extra=1), send_buffer=4096) as server:
        writers = await hold(server, said, 6)
        asking = get(f"{path}?by=lb").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for _ in range(5):
            assert (await server.talk(asking)).startswith(b"HTTP/1.1 200")
        for writer in writers:
            writer.transport.abort()


@virtual_time.MARK
async def test_where_none_can_be_accepted_the_log_says_so_and_idle_ones_go():
    telemetry = Telemetry()
    async with serving(Places(), Connection, room=(room := Room(100))) as server:
        writers = await hold(server, b"", 5)
        gc.collect()  # what it would close later is not counted
        few = Room(descriptors=_open_files(0) + 3, telemetry=telemetry)
        few._open = room._open
        with capture_logs() as lines:
            few.look()
            few.look()
        assert len(room._open) == 0
        [line] = [line for line in lines if line["event"] == "descriptors_scarce"]
        assert line["log_level"] == "error"
        assert b"descriptors_scarce_total 2.0" in telemetry.render("")[0]
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize(("spare", "levels"), [(1.5, []), (1.05, ["warning"]), (1, ["error"])])
def test_a_tenth_of_the_descriptors_is_warned_of(spare: float, levels: list[str]):
    gc.collect()  # what it would close later is not counted
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(400)]
    try:
        limit = int(_open_files(0) * spare)
        with capture_logs() as lines:
            Room(descriptors=limit).look()
        assert [line["log_level"] for line in lines] == levels
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_a_process_with_no_descriptor_left_can_be_looked_at():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    telemetry = Telemetry()
    room = Room(descriptors=1_000_000, telemetry=telemetry)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        room.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert b"descriptors_scarce_total 1.0" in telemetry.render("")[0]


@virtual_time.MARK
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
