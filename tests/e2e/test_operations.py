"""The operations port, health and readiness of the real server."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests import times
from tests.api.photos import PHOTO, raw_form
from tests.e2e.conftest import START_SECONDS, Running, started
from tests.e2e.raw import connection, receive, request_head
from tests.e2e.test_dev import token
from tests.ports import free_port
from tests.scraping import Samples

from image_service.devstack import stack

pytestmark = pytest.mark.e2e

DEFAULT_PORT = 9090


def scrape(port: int) -> Samples:
    response = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    assert response.status_code == 200
    return Samples(response.text)


def events(running: Running) -> list[dict[str, object]]:
    return [json.loads(line) for line in running.output if line.startswith("{")]


LONG_SECONDS = 120


@pytest.fixture
def ops_port() -> int:
    return free_port()


@pytest.fixture
def drain_seconds() -> int:
    return 0


@pytest.fixture
def server(state_dir: Path, ops_port: int, drain_seconds: int) -> Iterator[Running]:
    with started(
        *("dev", "--port", "0", "--state-dir", str(state_dir)),
        IMAGE_SERVICE_OPS_PORT=str(ops_port),
        IMAGE_SERVICE_DRAIN_SECONDS=str(drain_seconds),
        command=times.command(shutdown_seconds=LONG_SECONDS),
    ) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture
def url(server: Running) -> str:
    return server.wait_for(r"(http://\S+)/docs")[1]


def test_metrics_are_on_the_operations_port_alone(
    server: Running, url: str, ops_port: int, state_dir: Path
):
    bearer = {"Authorization": f"Bearer {token(state_dir)}"}
    assert httpx.post(f"{url}/images", headers=bearer, files={"file": PHOTO}).status_code == 201
    assert httpx.get(f"{url}/metrics", headers=bearer).status_code == 404
    assert httpx.get(f"{url}/metrics").status_code == 401
    with connection(urlsplit(url).netloc) as made:
        made.sendall(b"\x16\x03\x01 is no HTTP\r\n\r\n")
        assert receive(made).status == 400
    samples = scrape(ops_port)
    assert samples("uploads_total", outcome="stored") == 1
    assert samples("rejected_total", reason="ROUTE_NOT_FOUND") == 1
    assert samples("connections_refused_total", code="MALFORMED_BODY") == 1
    assert httpx.get(f"http://127.0.0.1:{ops_port}/images").status_code == 404
    server.wait_for(f"http://127.0.0.1:{ops_port}/metrics")


@pytest.mark.parametrize("drain_seconds", [LONG_SECONDS])
def test_metrics_are_read_to_the_last_while_it_goes(
    server: Running, url: str, ops_port: int, state_dir: Path
):
    host = urlsplit(url).netloc
    body = raw_form(('name="file"', PHOTO))
    with connection(host) as made, httpx.Client(trust_env=False) as scraper:
        made.sendall(
            request_head(
                *("POST", "/images", f"Authorization: Bearer {token(state_dir)}"),
                "Content-Type: multipart/form-data; boundary=cut-here",
                f"Content-Length: {len(body)}",
            )
        )
        made.sendall(body[:500])
        metrics = f"http://127.0.0.1:{ops_port}/metrics"
        # On one connection, which it keeps, as Prometheus does.
        while not Samples(scraper.get(metrics).text)("uploads_in_flight"):
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{url}/health/ready").status_code == 200:
            time.sleep(0.02)
        draining = Samples(scraper.get(metrics).text)
        server.process.send_signal(signal.SIGTERM)  # enough of draining
        server.wait_for("Shutting down")
        finishing = Samples(scraper.get(metrics).text)
        made.sendall(body[500:])
        assert receive(made).status == 201
        # The scraper's connection is still there; the server doesn't wait for it.
        assert server.process.wait(LONG_SECONDS / 2) == 0
    for samples in (draining, finishing):
        assert samples("uploads_in_flight") == 1
        assert samples("http_requests_in_progress") == 1
    with pytest.raises(httpx.ConnectError):
        scrape(ops_port)


def serving(port: int, emulator: str, **settings: str):
    environment = stack_environment(emulator)
    at_once = {"IMAGE_SERVICE_DRAIN_SECONDS": "0"}
    return started("serve", **environment, **at_once, IMAGE_SERVICE_PORT=str(port), **settings)


def stack_environment(emulator: str) -> dict[str, str]:
    return {
        **stack.aws_environment(emulator),
        **stack.service_environment(emulator),
        **stack.WITHOUT_PROXY,
    }


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_stops_the_start(emulator: str, taken: int):
    with serving(free_port(), emulator, IMAGE_SERVICE_OPS_PORT=str(taken)) as server:
        assert server.process.wait(START_SECONDS) == 3
        server.wait_for("no_operations_port")
        [line] = server.output
    told = json.loads(line)
    assert (told["level"], told["host"], told["port"]) == ("error", "127.0.0.1", taken)
    assert told["reason"] == "Address already in use"


def test_the_service_port_is_not_for_both(emulator: str):
    port = free_port()
    with serving(port, emulator, IMAGE_SERVICE_OPS_PORT=str(port)) as server:
        assert server.process.wait(START_SECONDS) == 3
        server.wait_for("the service itself listens there")


def test_without_the_default_port_it_starts_all_the_same(emulator: str):
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", DEFAULT_PORT)):
        starts_with_a_warning(emulator)
        return
    starts_with_a_warning(emulator)  # somebody else has it


def starts_with_a_warning(emulator: str) -> None:
    port = free_port()
    with serving(port, emulator, IMAGE_SERVICE_OPS_PORT="") as server:
        server.wait_for("Uvicorn running")
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        [told] = [line for line in events(server) if line["event"] == "no_operations_port"]
        assert (told["level"], told["port"]) == ("warning", DEFAULT_PORT)


def test_it_can_be_switched_off(emulator: str):
    with serving(free_port(), emulator, IMAGE_SERVICE_OPS_PORT="0") as server:
        server.wait_for("Uvicorn running")
        assert not [line for line in events(server) if "operations_port" in str(line["event"])]


def test_it_is_ready_from_when_it_has_started(emulator: str):
    """Until then nothing answers there, or that it is not ready; from then on it is."""
    port = free_port()
    answers: list[int | None] = []
    with serving(port, emulator, IMAGE_SERVICE_OPS_PORT="0") as server:
        give_up = time.monotonic() + START_SECONDS
        while answers[-5:] != [200] * 5 and time.monotonic() < give_up:
            try:
                answers.append(httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code)
            except httpx.TransportError:
                answers.append(None)
            time.sleep(0.01)
        server.wait_for("Application startup complete")
    first = answers.index(200)
    assert first > 0
    assert set(answers[:first]) <= {None, 503}
    assert set(answers[first:]) == {200}


def test_a_flood_of_probes_asks_the_systems_once_a_second(server: Running, url: str, ops_port: int):
    def asked(samples: Samples) -> float:
        calls = {"service": "s3", "operation": "HeadBucket", "outcome": "ok"}
        return samples("dependency_call_seconds_count", **calls)

    before = asked(scrape(ops_port))
    started_at, probes = time.monotonic(), 0
    with httpx.Client() as prober:
        while asked(scrape(ops_port)) - before < 2 or probes <= 20:
            assert prober.get(f"{url}/health").status_code == 200
            probes += 1
    assert asked(scrape(ops_port)) - before <= time.monotonic() - started_at + 1
