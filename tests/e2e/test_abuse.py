"""Hostile requests on raw sockets: refused as they should be, never a 5xx, nothing is kept.

Malformed HTTP itself is in `tests/integration/test_connections.py`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import times
from tests.api.photos import PHOTO, raw_form
from tests.e2e.conftest import Running, started
from tests.e2e.raw import Answer, connection, exchange, receive, request_head
from tests.e2e.test_dev import token

pytestmark = pytest.mark.e2e

FORM = "Content-Type: multipart/form-data; boundary=cut-here"
PART = b'--cut-here\r\nContent-Disposition: form-data; name="tags"\r\n\r\nx\r\n'
END = b"--cut-here--\r\n"
GROWTH_LIMIT = 80 * 2**20


@pytest.fixture(scope="module")
def server(state_dir: Path) -> Iterator[Running]:
    with started(
        *("dev", "--port", "0", "--state-dir", str(state_dir)),
        IMAGE_SERVICE_RATE_LIMIT_UPLOADS="10000/minute",
        command=times.command(upload_stall_timeout=5),  # more than the tests pause by themselves
    ) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="module")
def host(server: Running) -> str:
    return urlsplit(server.wait_for(r"(http://\S+)/docs")[1]).netloc


@pytest.fixture(scope="module")
def bearer(state_dir: Path) -> str:
    return f"Authorization: Bearer {token(state_dir, 'mallory')}"


def post(host: str, bearer: str, body: bytes, *headers: str) -> Answer:
    length = f"Content-Length: {len(body)}"
    head = request_head("POST", "/images", bearer, length, *(headers or [FORM]))
    return exchange(host, head, body)


@pytest.fixture(autouse=True)
def _it_still_serves_and_has_not_grown(server: Running, host: str, bearer: str) -> Iterator[None]:
    assert post(host, bearer, raw_form(('name="file"', PHOTO))).status == 201
    before = resident_bytes(server.process.pid)
    yield
    assert post(host, bearer, raw_form(('name="file"', PHOTO))).status == 201
    assert resident_bytes(server.process.pid) - before < GROWTH_LIMIT


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def part(headers: bytes, content: bytes = b"x") -> bytes:
    return b"--cut-here\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


FILE = b'Content-Disposition: form-data; name="file"'
HOSTILE_FORMS = {
    "10,000 fields": PART * 10_000 + END,
    "a million tiny parts": b"--cut-here\r\n\r\n\r\n" * 600_000 + END,
    "a million delimiters": part(FILE, b"\r\n--cut-here" * 800_000) + END,
    "huge part headers": part(FILE + b"\r\nX-A: " + b"a" * 5_000_000) + END,
    "countless part headers": part(FILE + b"\r\nX-A: b" * 500_000) + END,
    "huge file name": part(FILE + b'; filename="' + b"a" * 1_000_000 + b'"') + END,
    "no end": PART + b"--cut-here\r\n" + FILE + b"\r\n\r\n" + PHOTO,
    "huge preamble": b"x" * 5_000_000 + PART + END,
    "huge epilogue": part(FILE, PHOTO) + END + b"x" * 5_000_000,
    "only line breaks": b"\r\n" * 2_000_000,
    "huge text": part(b'Content-Disposition: form-data; name="title"', b"a" * 5_000_000) + END,
    "two files": part(FILE, PHOTO) * 2 + END,
    "nested": part(
        FILE + b"\r\nContent-Type: multipart/mixed; boundary=inner",
        b"--inner\r\nContent-Disposition: attachment\r\n\r\nx\r\n--inner--",
    )
    + END,
    "base64": part(FILE + b"\r\nContent-Transfer-Encoding: base64", b"AAAA") + END,
    "tags of nested arrays": part(b'Content-Disposition: form-data; name="tags"', b"[" * 60_000)
    + part(FILE, PHOTO)
    + END,
}


@pytest.mark.parametrize("body", HOSTILE_FORMS.values(), ids=HOSTILE_FORMS)
def test_a_hostile_form_is_refused(host: str, bearer: str, body: bytes):
    started_at = time.monotonic()
    for _ in range(3):
        answer = post(host, bearer, body)
        assert answer.status == 400
        assert answer.code in {"MALFORMED_BODY", "VALIDATION_FAILED", "INVALID_FILE_TYPE"}
    assert time.monotonic() - started_at < 60


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=" + "a" * 5000,
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\xff\xfe",
        "multipart/mixed; boundary=cut-here",
        "multipart/form-data" + "; a=b" * 5000,
    ],
)
def test_a_hostile_content_type_is_refused(host: str, bearer: str, content_type: str):
    answer = post(host, bearer, PART + END, f"Content-Type: {content_type}")
    assert answer.status in {400, 415}
    assert answer.code in {"MALFORMED_BODY", "UNSUPPORTED_MEDIA_TYPE"}


@pytest.mark.parametrize(
    "name",
    [
        b"../../../etc/passwd",
        b"..\\..\\windows\\system32\\x.jpg",
        b"a.jpg%0d%0aX-Injected: yes",
        b"a.jpg\\\r\\\nX-Injected: yes",
        b"\xff\xfe\x00\x01.jpg",
        "\u202egpj.exe".encode(),
        b"'; drop table images; --",
        b"<script>alert(1)</script>",
    ],
)
def test_a_hostile_file_name_injects_nothing(host: str, bearer: str, name: bytes):
    body = part(FILE + b'; filename="' + name + b'"', PHOTO) + END
    answer = post(host, bearer, body)
    assert answer.status in {201, 400}
    assert "x-injected" not in answer.head
    if answer.status == 201:
        image = answer.json()
        kept = image["originalFilename"] or ""
        assert not re.search(r"[\x00-\x1f/\\]", kept)
        assert re.fullmatch(r"images/mallory/[0-9A-Z]{26}\.webp", image["s3Key"])


@pytest.mark.parametrize(
    "request_id", ["a\tb", "a" * 5000, "\xe9", "a;b", "{{7*7}}", "${jndi:ldap://x}", "a\x85b"]
)
def test_a_hostile_request_id_is_not_repeated(host: str, request_id: str):
    answer = exchange(host, request_head("GET", "/nowhere", f"X-Request-ID: {request_id}"))
    assert answer.status == 401
    assert re.search(r"^x-request-id: [0-9a-f-]{36}\r?$", answer.head, re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    [
        *("/images/../images", "/images/%2e%2e/health", "//images", "/images/%2fetc%2fpasswd"),
        *("/images/%00", "/images/%ff%fe", "/images/" + "a" * 30_000, "/images/..%5c..%5c"),
        *("/images/;/", "/images?" + "a=b&" * 5000, "/images?limit=" + "9" * 5000, "*"),
        *("/health/../images", "/docs/%2e%2e/images", "/images?cursor=" + "A" * 5000),
        *("/images?tag=%00", "/images?tag=%ff", "/images?albumId=%0d%0aX-Injected:%20yes"),
        *("http://evil.example/images/x", "/images/01ARZ3NDEKTSV4RRFFQ69G5FAV%20"),
    ],
)
def test_a_hostile_path_leads_nowhere(host: str, bearer: str, path: str):
    assert exchange(host, request_head("GET", path)).status in {400, 401}
    answer = exchange(host, request_head("GET", path, bearer))
    assert answer.status in {200, 400, 404}
    assert "x-injected" not in answer.head
    if answer.status == 200:
        assert answer.json()["images"] is not None


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND", "PURGE"])
def test_a_method_nobody_asked_for(host: str, bearer: str, method: str):
    assert exchange(host, request_head(method, "/images", bearer)).status in {400, 404, 405}


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_no_other_protocol_is_spoken(host: str, bearer: str, protocol: str):
    upgrade = ("Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Key: AAAA")
    for authorization in ((), (bearer,)):
        answer = exchange(host, request_head("GET", "/images", *authorization, *upgrade))
        assert (answer.status, answer.code) == (400, "MALFORMED_BODY")


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_upload_that_offers_another_protocol_is_refused(host: str, bearer: str, protocol: str):
    """As `curl --http2 -F file=@…` sends it; and the file is not read as requests."""
    smuggled = request_head("DELETE", "/images/01ARZ3NDEKTSV4RRFFQ69G5FAV", bearer)
    body = part(FILE, PHOTO) + part(FILE, smuggled) + END
    upgrade = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AA")
    length = f"Content-Length: {len(body)}"
    head = request_head("POST", "/images", bearer, FORM, length, *upgrade)
    with connection(host) as made:
        made.sendall(head)
        time.sleep(0.2)
        made.sendall(body + smuggled)
        answer = receive(made)
        assert (answer.status, answer.code) == (400, "MALFORMED_BODY")
        assert "--http1.1" in answer.json()["message"]
        assert made.recv(1000) == b""  # no second response


def test_deeply_nested_json_is_refused(host: str, bearer: str):
    for body in (b"[" * 100_000, b'{"title":' * 10_000, b'{"tags":' + b"[" * 50_000):
        head = request_head(
            *("PATCH", "/images/01ARZ3NDEKTSV4RRFFQ69G5FAV", bearer),
            *("Content-Type: application/json", f"Content-Length: {len(body)}"),
        )
        assert exchange(host, head, body).status == 400


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_that_never_ends_is_cut_off(host: str, bearer: str, chunked: bool):
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000"
    with connection(host) as made:
        made.sendall(request_head("POST", "/images", bearer, FORM, length))
        made.sendall(b"5\r\n--cut\r\n" if chunked else b"--cut")
        answer = receive(made)
    assert (answer.status, answer.code) == (408, "UPLOAD_TIMEOUT")


def test_bodies_that_stall_keep_nobody_else_out(host: str, bearer: str, state_dir: Path):
    """One user holds all the places one user can have, and more; another uploads."""
    other = f"Authorization: Bearer {token(state_dir, 'alice')}"
    head = request_head("POST", "/images", bearer, FORM, "Content-Length: 50000")
    with ExitStack() as stack:
        stalled = [stack.enter_context(connection(host)) for _ in range(100)]
        for made in stalled:
            made.sendall(head + b"--cut-here\r\n")
        assert post(host, other, raw_form(('name="file"', PHOTO))).status == 201
        assert exchange(host, request_head("GET", "/images", bearer)).status == 200
        codes = Counter(receive(made).code for made in stalled)
    assert codes == {"UPLOAD_TIMEOUT": 64, "OVERLOADED": 36}
