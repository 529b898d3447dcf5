"""The whole output of a real server that was used, and whose systems failed."""

from __future__ import annotations

import http.server
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest
from tests import times
from tests.api.photos import IMAGES, PHOTO
from tests.e2e.conftest import Running, started
from tests.e2e.test_operations import stack_environment
from tests.ports import free_port

from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer

pytestmark = pytest.mark.e2e

AWS_SECRET = "aws-secret-5d1c"
SESSION_TOKEN = "FwoGZXIvYXdzEJr/session+token+2c6b=="
REDIS_PASSWORD = "redis-password-77ab"
WORDS = "user-words-93fe"
DEAD = "http://127.0.0.1:9"


@contextmanager
def server(environment: Mapping[str, str], **changes: str) -> Iterator[tuple[str, Running]]:
    port = free_port()
    environment = {
        **environment,
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "IMAGE_SERVICE_PORT": str(port),
        "IMAGE_SERVICE_OPS_PORT": "0",
        "IMAGE_SERVICE_LOG_LEVEL": "debug",
        "IMAGE_SERVICE_DRAIN_SECONDS": "0",
        **changes,
    }
    with started("serve", command=times.command(request_deadline=3), **environment) as running:
        running.wait_for("Uvicorn running")
        yield f"http://127.0.0.1:{port}", running
        running.stop()


class QuotesTheRequest(http.server.BaseHTTPRequestHandler):
    """DynamoDB, where the signature is wrong: it says what should have been signed."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        signed = "\n".join(f"{name.lower()}:{value}" for name, value in self.headers.items())
        message = f"The Canonical String for this request should have been\n'POST\n/\n\n{signed}'"
        answer = {"__type": "com.amazon.coral.service#InvalidSignatureException"}
        body = json.dumps(answer | {"message": message}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def quoting() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), QuotesTheRequest) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def use(url: str, token: str) -> set[int]:
    """Upload, read, list, edit and delete, with words in all of it; the answers' statuses."""
    answers = []
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as client:
        uploads = [
            client.post(
                IMAGES,
                files={"file": (f"{WORDS}.jpg", PHOTO)},
                data={"title": WORDS, "tags": [WORDS], "altText": WORDS, "description": WORDS},
                headers={"Idempotency-Key": WORDS},
            )
            for _ in range(2)
        ]
        path = f"{IMAGES}/{uploads[0].json().get('id', '0' * 26)}"
        answers = [
            *uploads,
            client.get(path),
            client.get(IMAGES, params={"tag": WORDS, "cursor": WORDS}),
            client.get(IMAGES, params={"albumId": WORDS}),
            client.patch(path, json={"title": WORDS, "version": 1}),
            client.delete(path),
            client.get("/health"),
            client.get(f"/{WORDS}"),
            client.get(path, headers={"Authorization": f"Bearer {token}x{WORDS}"}),
        ]
    return {answer.status_code for answer in answers}


@pytest.fixture(scope="session")
async def provisioned(emulator: str, issuer: LocalIssuer) -> str:
    await stack.provision(emulator, issuer)
    return emulator


def test_no_secret_and_no_users_word_is_in_it(
    provisioned: str, issuer: LocalIssuer, redis_url: str, quoting: str
):
    token = issuer.token(
        f"user-{secrets.token_hex(4)}", issuer=stack.ISSUER, client_id=stack.CLIENT_ID
    )
    environment = stack_environment(provisioned) | {
        # A user nobody knows there: it answers with errors, and is left alone.
        "IMAGE_SERVICE_REDIS_URL": redis_url.replace("//", f"//someone:{REDIS_PASSWORD}@"),
    }
    output = ""
    for changes in (
        {},
        {"AWS_ENDPOINT_URL_S3": DEAD},
        {"AWS_ENDPOINT_URL_DYNAMODB": DEAD},
        {"AWS_ENDPOINT_URL_DYNAMODB": quoting},
        {"IMAGE_SERVICE_JWKS_URL": f"{DEAD}/jwks.json"},
    ):
        with server(environment, **changes) as (url, running):
            statuses = use(url, token)
            assert changes or statuses >= {200, 201, 204, 404, 401}
            assert not changes or 503 in statuses
        output += "".join(running.output)

    lines = [json.loads(line) for line in output.splitlines()]  # uvicorn's own among them
    assert {line["logger"] for line in lines} >= {
        *("uvicorn.error", "image_service.access", "image_service.audit"),
        "image_service.adapters.redis.link",
    }
    assert all(line.keys() >= {"event", "level", "timestamp", "stage"} for line in lines)
    quoted = [line for line in lines if line.get("kind") == "InvalidSignatureException"]
    assert quoted
    assert all("x-amz-security-token:[hidden]" in line["cause"] for line in quoted)
    ours = (AWS_SECRET, SESSION_TOKEN, REDIS_PASSWORD)
    for secret in (token, token.split(".")[2], *ours, WORDS):
        assert [line for line in output.splitlines() if secret in line] == []
