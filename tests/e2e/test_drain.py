"""The server goes without losing a request."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests import times
from tests.api.photos import PHOTO, raw_form
from tests.e2e.conftest import Running, started
from tests.e2e.raw import connection, exchange, receive, request_head
from tests.e2e.test_dev import token

pytestmark = pytest.mark.e2e

LONG_SECONDS = 120  # longer than anything here is waited for
READY = request_head("GET", "/health/ready", "Connection: close")


@pytest.fixture
def server(state_dir: Path) -> Iterator[Running]:
    """Serves on for long after the first signal."""
    with draining(state_dir, LONG_SECONDS) as running:
        yield running


@contextmanager
def draining(state_dir: Path, seconds: float, **options: Any) -> Iterator[Running]:
    with started(
        *("dev", "--port", "0", "--state-dir", str(state_dir)),
        IMAGE_SERVICE_DRAIN_SECONDS=str(seconds),
        **options,
    ) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture
def host(server: Running) -> str:
    return address(server)


def address(server: Running) -> str:
    return urlsplit(server.wait_for(r"(http://\S+)/docs")[1]).netloc


def wait_until_draining(host: str) -> None:
    while exchange(host, READY).status != 503:  # until the test's time is up
        time.sleep(0.01)


def test_it_serves_on_while_it_says_that_it_is_not_ready(
    server: Running, host: str, state_dir: Path
):
    bearer = f"Authorization: Bearer {token(state_dir)}"
    assert exchange(host, READY).status == 200
    server.process.send_signal(signal.SIGTERM)
    wait_until_draining(host)
    body = raw_form(('name="file"', PHOTO))
    form = "Content-Type: multipart/form-data; boundary=cut-here"
    length = f"Content-Length: {len(body)}"
    answer = exchange(host, request_head("POST", "/images", form, length, bearer), body)
    assert answer.status == 201
    assert exchange(host, request_head("GET", "/images", bearer)).status == 200
    assert exchange(host, request_head("GET", "/health/live")).status == 200
    assert server.process.poll() is None


def test_it_goes_once_its_time_is_up(state_dir: Path):
    with draining(state_dir, 1) as server:
        stopped_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(LONG_SECONDS) == 0
        assert time.monotonic() - stopped_at >= 1


def test_an_upload_on_its_way_is_finished(state_dir: Path):
    body = raw_form(('name="file"', PHOTO))
    with draining(state_dir, 0.5) as server, connection(address(server)) as made:
        made.sendall(
            request_head(
                *("POST", "/images", f"Authorization: Bearer {token(state_dir)}"),
                "Content-Type: multipart/form-data; boundary=cut-here",
                f"Content-Length: {len(body)}",
            )
        )
        made.sendall(body[:500])
        wait_until_served(address(server))
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("Shutting down")
        made.sendall(body[500:])
        answer = receive(made)
        assert answer.status == 201
        assert "connection: close" in answer.head
        assert server.process.wait(LONG_SECONDS) == 0


def test_an_upload_that_does_not_come_in_time_is_told_so(state_dir: Path):
    with draining(state_dir, 0, command=times.command(shutdown_seconds=1)) as server:
        host = address(server)
        with connection(host) as made:
            made.sendall(
                request_head(
                    *("POST", "/images", f"Authorization: Bearer {token(state_dir)}"),
                    "Content-Type: multipart/form-data; boundary=cut-here",
                    "Content-Length: 5000",
                )
            )
            made.sendall(b"--cut-here\r\n")
            wait_until_served(host)
            server.process.send_signal(signal.SIGTERM)
            answer = receive(made)
        assert (answer.status, answer.code) == (503, "OVERLOADED")
        assert "retry-after: " in answer.head
        assert "connection: close" in answer.head
        assert server.process.wait(LONG_SECONDS) == 0
    assert not re.search("Traceback|Exception", "".join(server.output))


def wait_until_served(host: str) -> None:
    """What was sent on another connection before has been taken by now."""
    assert exchange(host, READY).status == 200


def test_a_second_signal_cuts_the_serving_short(server: Running, host: str):
    server.process.send_signal(signal.SIGTERM)
    wait_until_draining(host)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(LONG_SECONDS / 2) == 0
