"""Answers given before the body is read reach whoever is still sending it.

Directly; and, where IMAGE_SERVICE_TEST_ENGINES=real, through nginx as a load balancer,
which makes a 502 of an answer that is cut off. nginx is then required.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.conftest import Running, started
from tests.e2e.raw import Answer, chunks, connection, exchange, receive, request_head
from tests.e2e.test_dev import token
from tests.engines import engines
from tests.nginx import nginx

pytestmark = pytest.mark.e2e

FORM = "Content-Type: multipart/form-data; boundary=cut-here"
OPENING = b'--cut-here\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
SIZES = (1_000, 400_000, 5_000_000, 10_000_000)
ROUTES = ["direct", "buffering", "streaming"] if "real" in engines("real") else ["direct"]


@pytest.fixture(scope="module")
def server(state_dir: Path) -> Iterator[Running]:
    """A server that takes one upload at a time."""
    settings = {"MAX_UPLOADS": "1", "RATE_LIMIT_UPLOADS": "10000/minute"}
    environment = {f"IMAGE_SERVICE_{name}": value for name, value in settings.items()}
    with started("dev", "--port", "0", "--state-dir", str(state_dir), **environment) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="module")
def host(server: Running) -> str:
    return urlsplit(server.wait_for(r"(http://\S+)/docs")[1]).netloc


@pytest.fixture(scope="module", params=ROUTES)
def entrance(request: pytest.FixtureRequest, host: str) -> Iterator[str]:
    """Where requests go in: the server itself, or an nginx in front of it."""
    if request.param == "direct":
        yield host
        return
    with nginx(host, request_buffering=request.param == "buffering") as address:
        yield address


@pytest.fixture(scope="module")
def bearer(state_dir: Path) -> str:
    return f"Authorization: Bearer {token(state_dir)}"


@pytest.fixture
def _busy(host: str, bearer: str) -> Iterator[None]:
    """Somebody else's upload, which takes the one place there is."""
    with connection(host) as made:
        made.sendall(request_head("POST", "/images", FORM, bearer, "Content-Length: 1000"))
        made.sendall(OPENING)
        while post(host, b"is it taken?", bearer).status != 503:
            time.sleep(0.05)
        yield
        made.sendall(b"x" * (1000 - len(OPENING)))
        assert receive(made).status == 400


def post(host: str, body: bytes, *headers: str, chunked: bool = False) -> Answer:
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = request_head("POST", "/images", FORM, length, *headers)
    return exchange(host, head, *(chunks(body) if chunked else [body]))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_who_is_not_signed_in_is_told(entrance: str, size: int, chunked: bool):
    for _ in range(5):
        answer = post(entrance, bytes(size), chunked=chunked)
        assert (answer.status, answer.code) == (401, "TOKEN_MISSING")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("_busy")
def test_who_comes_while_all_places_are_taken_is_told(
    entrance: str, bearer: str, size: int, chunked: bool
):
    for _ in range(5):
        answer = post(entrance, OPENING + bytes(size), bearer, chunked=chunked)
        assert (answer.status, answer.code) == (503, "OVERLOADED")
        assert "retry-after: 2" in answer.head


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_who_sends_too_much_is_told(entrance: str, bearer: str, chunked: bool):
    for _ in range(5):
        answer = post(entrance, OPENING + bytes(12_000_000), bearer, chunked=chunked)
        assert (answer.status, answer.code) == (413, "FILE_TOO_LARGE")


@pytest.mark.usefixtures("_busy")
def test_reads_and_health_go_on_while_all_places_are_taken(entrance: str, bearer: str):
    assert exchange(entrance, request_head("GET", "/images", bearer)).status == 200
    assert exchange(entrance, request_head("GET", "/health")).status == 200
