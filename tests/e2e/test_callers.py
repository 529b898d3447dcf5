"""Machines and administrators at the running service, with the tokens its own command prints."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.api.photos import PHOTO
from tests.e2e.conftest import COMMAND, Running
from tests.e2e.raw import exchange, request_head

pytestmark = pytest.mark.e2e

FILE = {"file": ("photo.jpg", PHOTO)}


NewClient = Callable[..., httpx.Client]


@pytest.fixture
def client(url: str, state_dir: Path) -> Iterator[NewClient]:
    """A client with the token that the command prints for these options."""
    with ExitStack() as opened:

        def new(*options: str) -> httpx.Client:
            command = [COMMAND, "token", *options, "--state-dir", str(state_dir)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True)
            assert printed.stderr == ""
            [token] = printed.stdout.splitlines()
            headers = {"Authorization": f"Bearer {token}"}
            return opened.enter_context(httpx.Client(base_url=url, headers=headers))

        yield new


def test_a_machine_acts_for_a_user(client: NewClient, unique: str, dev: Running):
    machine = client("--machine")
    alice = client("--user", f"alice-{unique}")
    bob = client("--user", f"bob-{unique}")
    for_alice = {"On-Behalf-Of": f"alice-{unique}"}
    image = machine.post("/images", files=FILE, headers=for_alice).json()
    path = f"/images/{image['id']}"
    assert image["userId"] == f"alice-{unique}"
    assert alice.get(path).json() == image
    assert machine.get(path).json() == image  # anybody's, by its id
    assert httpx.get(image["imageUrl"]).status_code == 200
    refused = [
        bob.get(path),
        bob.get("/images", headers=for_alice),
        machine.get("/images"),
        machine.delete(path),
        machine.get(path, headers={"On-Behalf-Of": f"bob-{unique}"}),
    ]
    assert [response.status_code for response in refused] == [403] * 5
    assert machine.delete(path, headers=for_alice).status_code == 204
    assert alice.get(path).status_code == 404
    line = dev.wait_for(f'"action": "delete", "user_id": "alice-{unique}".*"outcome": "done".*')[0]
    assert '"caller": "machine", "caller_id": "main-api"' in line


def test_an_administrator_looks_and_deletes(client: NewClient, unique: str, dev: Running):
    user = f"carol-{unique}"
    carol = client("--user", user)
    root = client("--user", f"root-{unique}", "--group", "image-admins")
    staff = client("--user", f"staff-{unique}", "--group", "staff")
    image = carol.post("/images", files=FILE).json()
    path = f"/images/{image['id']}"
    assert root.get(path).json() == image
    assert root.get("/images", params={"userId": user}).json() == carol.get("/images").json()
    assert root.patch(path, json={"title": "x", "version": 1}).status_code == 403
    for method, target in (("GET", path), ("DELETE", path), ("GET", f"/images?userId={user}")):
        assert staff.request(method, target).status_code == 403
    assert root.delete(path, params={"reason": f"Reported by {unique}"}).status_code == 204
    assert carol.get(path).status_code == 404
    line = dev.wait_for(f'.*"reason": "Reported by {unique}".*')[0]
    assert f'"user_id": "{user}", "caller": "admin", "caller_id": "root-{unique}"' in line


def test_an_upload_that_may_not_be_is_refused_before_its_body_comes(client: NewClient, url: str):
    form = ("Content-Type: multipart/form-data; boundary=x", "Content-Length: 9000000")
    alone = f"Authorization: {client('--machine').headers['authorization']}"
    user = client("--user", "alice").headers["authorization"]
    for headers, code in [
        ((alone,), "not_authorized"),
        ((alone, "On-Behalf-Of: alice", "on-behalf-of: alice"), "validation_failed"),
        ((alone, "On-Behalf-Of: main-api"), "validation_failed"),
        ((alone, "On-Behalf-Of: ../alice"), "validation_failed"),
        ((f"Authorization: {user}", "On-Behalf-Of: bob"), "not_authorized"),
    ]:
        answer = exchange(urlsplit(url).netloc, request_head("POST", "/images", *headers, *form))
        assert answer.status == (400 if code == "validation_failed" else 403)
        assert answer.code.lower() == code
        assert answer.headers("connection") == ["close"]
        assert answer.headers("x-ratelimit-limit")
