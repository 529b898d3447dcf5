"""One caller who takes all there is: the others, and the load balancer, notice nothing."""

from __future__ import annotations

import re
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import times
from tests.e2e.conftest import Running, started
from tests.e2e.raw import connection, exchange, receive, request_head
from tests.e2e.test_dev import token

pytestmark = pytest.mark.e2e

LIMIT = 5
IMAGE = "/images/01KAR0F3WJ8P5V2D7QK9T4XZ6M"
JSON = ("Content-Type: application/json", "Content-Length: 1000")
CLOSE = "Connection: close"
ROUTES = [
    ("GET", "/images"),
    ("HEAD", "/images"),
    ("POST", "/images"),
    ("GET", IMAGE),
    ("PATCH", IMAGE),
    ("DELETE", IMAGE),
    ("GET", "/usage"),
    ("GET", "/no/such/route"),
]


@pytest.fixture(scope="module")
def server(state_dir: Path) -> Iterator[Running]:
    with started(
        *("dev", "--port", "0", "--state-dir", str(state_dir)),
        # What is held here is held until a test lets go of it.
        command=times.command(
            USER_REQUESTS=LIMIT, JSON_STALL=200, JSON_SECONDS=200, LINGER_SECONDS=200
        ),
        IMAGE_SERVICE_MAX_USER_REQUESTS="3",  # of an earlier release
    ) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="module")
def host(server: Running) -> str:
    return host_of(server)


def host_of(server: Running) -> str:
    return urlsplit(server.wait_for(r"(http://\S+)/docs")[1]).netloc


def bearer(state_dir: Path, user: str) -> str:
    return f"Authorization: Bearer {token(state_dir, user)}"


def hold(stack: ExitStack, host: str, number: int, *head: str) -> list[socket.socket]:
    """Requests whose bodies do not come."""
    held = []
    for _ in range(number):
        made = stack.enter_context(connection(host))
        made.sendall(request_head(*head, *JSON))
        held.append(made)
    return held


def until(status: int, host: str, *head: str) -> None:
    """As soon as the server has seen what was sent, or left, before."""
    while exchange(host, request_head(*head, CLOSE)).status != status:
        time.sleep(0.01)


def test_the_bounds_and_a_former_setting_are_told_at_start(server: Running):
    assert server.wait_for(r'"user_share": 0.5, .*"task_bounds"')
    told = r"IMAGE_SERVICE_MAX_USER_REQUESTS is no longer a setting, .*\"setting_ignored\""
    assert server.wait_for(told)


def test_a_user_at_the_limit_is_told_so_on_every_route_and_nobody_else_is(
    host: str, state_dir: Path
):
    alice, bob = bearer(state_dir, "alice"), bearer(state_dir, "bob")
    with ExitStack() as stack:
        hold(stack, host, LIMIT, "PATCH", IMAGE, alice)
        until(429, host, "GET", "/images", alice)
        for method, path in ROUTES:
            refused = exchange(host, request_head(method, path, alice, CLOSE))
            assert (refused.status, refused.headers("retry-after")) == (429, ["1"]), path
            assert exchange(host, request_head(method, path, bob, CLOSE)).status != 429, path
            if method != "HEAD":
                assert refused.code == "RATE_LIMIT_EXCEEDED"
                assert refused.json()["details"] == {"measured": LIMIT + 1, "limit": LIMIT}
                assert refused.json()["retryAfter"] == 1
        for path in ("/health/ready", "/health/live", "/health", "/openapi.json"):
            assert exchange(host, request_head("GET", path)).status == 200
    until(200, host, "GET", "/images", alice)


def test_who_sends_no_token_is_one_caller(host: str, state_dir: Path):
    with ExitStack() as stack:
        hold(stack, host, LIMIT, "GET", "/health")  # answered, and drained
        until(429, host, "GET", "/openapi.json")
        refused = exchange(host, request_head("GET", "/openapi.json"))
        assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert refused.json()["message"].startswith("Callers without a token have")
        assert exchange(host, request_head("GET", "/health/ready")).status == 200
        bob = bearer(state_dir, "bob")
        assert exchange(host, request_head("GET", "/images", bob)).status == 200


def test_a_body_of_json_has_seconds(tmp_path: Path):
    with started("dev", "--port", "0", "--state-dir", str(tmp_path)) as server:
        server.wait_for("Stop with Ctrl-C")
        with connection(host_of(server)) as made:
            made.sendall(request_head("PATCH", IMAGE, bearer(tmp_path, "carol"), *JSON))
            answer = receive(made)
    assert (answer.status, answer.code) == (408, "UPLOAD_TIMEOUT")
    assert re.search(r"0 bytes in \d s.*pause for 5 s.*within 10 s", answer.json()["message"])


def test_a_server_of_few_descriptors_takes_fewer_connections_and_stays(state_dir: Path):
    few = ("sh", "-c", 'ulimit -n 340 && exec "$0" "$@"')
    with (
        started("dev", "--port", "0", "--state-dir", str(state_dir / "few"), through=few) as server,
        ExitStack() as stack,
    ):
        server.wait_for("Stop with Ctrl-C")
        host = host_of(server)
        for _ in range(400):
            stack.enter_context(connection(host))
        bob = bearer(state_dir / "few", "bob")
        statuses = Counter(
            exchange(host, request_head("GET", path, bob)).status
            for path in ["/images", "/health/ready"] * 20
        )
        assert statuses == {200: 40}
        assert server.wait_for(r'"limit": 40, .*"connections_limited"')


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be(state_dir: Path):
    few = ("sh", "-c", 'ulimit -Sn 340 && exec "$0" "$@"')
    with started(
        "dev", "--port", "0", "--state-dir", str(state_dir / "soft"), through=few
    ) as server:
        server.wait_for("Stop with Ctrl-C")
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        [soft] = re.findall(r"Max open files +(\d+)", limits)
        assert int(soft) >= 1_300


def test_a_server_that_can_accept_nothing_says_so_and_recovers(tmp_path: Path):
    with started("dev", "--port", "0", "--state-dir", str(tmp_path)) as server:
        server.wait_for("Stop with Ctrl-C")
        host, files = host_of(server), resource.RLIMIT_NOFILE
        limits = resource.prlimit(server.process.pid, files)
        resource.prlimit(server.process.pid, files, (8, limits[1]))
        assert server.wait_for('"event": "descriptors_scarce", "level": "error"')
        resource.prlimit(server.process.pid, files, limits)
        assert exchange(host, request_head("GET", "/health/ready", CLOSE)).status == 200
