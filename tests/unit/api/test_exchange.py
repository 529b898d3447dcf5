"""The clocks of an exchange: the pace of a body, the time of a response, and their errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests import virtual_time

from image_service.api.middleware.exchange import Exchange, Limits, Pace
from image_service.domain.errors import DependencyUnavailable, UploadTimeout


class Client:
    """Sends a body in pieces of (pause in seconds before it, size in bytes)."""

    def __init__(self, handle: Any, **limits: Any) -> None:
        self._handle = handle
        self._limits = Limits(**limits)
        self.sent: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, *pieces: tuple[float, int]) -> Exchange:
        left = list(pieces)

        async def receive() -> dict[str, Any]:
            if not left:
                return {"type": "http.disconnect"}
            pause, size = left.pop(0)
            await asyncio.sleep(pause)
            return {"type": "http.request", "body": bytes(size), "more_body": bool(left)}

        async def send(message: Any) -> None:
            self.sent.append(message)

        headers = [(b"transfer-encoding", b"chunked")] if pieces else []
        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        exchange = Exchange(scope, receive, send, "an-id", self._limits)
        await exchange.within_time(self._handle(scope, exchange.receive, exchange.send))
        return exchange


async def reading(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def received(pace: Pace, *pieces: tuple[float, int]) -> int:
    return (await Client(reading, pace=pace).request("POST", "/images", *pieces)).bytes_in


@virtual_time.MARK
async def test_a_steady_body_passes_whole():
    pace = Pace(stall=30, least_rate=30, total=60)
    assert await received(pace, *[(0.05, 100)] * 10) == 1000


@virtual_time.MARK
async def test_a_pause_is_borne_and_a_long_one_is_not():
    assert await received(Pace(stall=30, least_rate=1, total=60), (0.1, 10), (0.1, 10)) == 20
    with pytest.raises(UploadTimeout):
        await received(Pace(stall=0.2, least_rate=1, total=60), (0, 1_000_000), (50, 10))


@virtual_time.MARK
async def test_trickling_is_cut_off_although_every_byte_comes_in_time():
    pace = Pace(stall=0.2, least_rate=1000, total=60)
    with pytest.raises(UploadTimeout):
        await received(pace, *[(0.05, 1)] * 1_000)


@virtual_time.MARK
async def test_the_whole_has_its_time_however_fast_it_comes():
    pace = Pace(stall=0.2, least_rate=1, total=0.3)
    with pytest.raises(UploadTimeout):
        await received(pace, *[(0.05, 10_000)] * 100)


@virtual_time.MARK
async def test_the_largest_file_passes_on_a_poor_mobile_line():
    """10 MiB at 300 kbit/s, in pieces of 8 KiB; reckoned, because it takes 280 s."""
    pace, rate, size = Pace(), 300_000 / 8, 10 * 2**20
    assert size / rate < pace.total
    assert rate > pace.least_rate
    assert 8192 / rate < pace.stall


# Responses -------------------------------------------------------------------------------


def answering_after(seconds: float, ended: list[str]):
    """An app that reads the body, works, and answers."""

    async def app(scope, receive, send):
        while scope["headers"] and (await receive())["more_body"]:
            pass
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return app


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/images", "upload"),
        ("POST", "/elsewhere", "other"),
        ("DELETE", "/images/1", "delete"),
        ("GET", "/images", "other"),
    ],
)
@virtual_time.MARK
async def test_each_kind_of_request_has_its_time(method: str, path: str, kind: str):
    ended: list[str] = []
    times = dict.fromkeys(("upload", "delete", "other"), 0.01) | {kind: 60}
    await Client(answering_after(0.1, ended), **times).request(method, path)
    late = Client(answering_after(50, ended), **dict.fromkeys(times, 60) | {kind: 0.1})
    with pytest.raises(DependencyUnavailable):
        await late.request(method, path)
    assert late.sent == []
    assert ended == [method, method]  # the work was told to end, not left behind


@virtual_time.MARK
async def test_the_time_counts_from_the_last_byte():
    ended: list[str] = []
    client = Client(answering_after(0.05, ended), other=1)
    await client.request("POST", "/elsewhere", *[(0.4, 1)] * 3)
    assert client.sent[0]["status"] == 200


@virtual_time.MARK
async def test_another_timeout_inside_is_not_taken_for_its_own():
    async def app(_scope, _receive, _send):
        raise TimeoutError("of something else")

    with pytest.raises(TimeoutError, match="something else"):
        await Client(app).request("GET", "/")
