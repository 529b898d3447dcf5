"""The README's steps, done as it says."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from tests.api.photos import PHOTO, photo
from tests.e2e.conftest import COMMAND, START_SECONDS, Running, started

from image_service.devstack import stack
from image_service.devstack.state import environment_of_running

pytestmark = pytest.mark.e2e


def token(state_dir: Path, user: str = "alice") -> str:
    done = subprocess.run(
        [COMMAND, "token", "--user", user, "--state-dir", str(state_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return line


def test_the_printed_line_uploads_and_the_urls_open(dev: Running, tmp_path: Path):
    command = dev.wait_for("^curl .*")[0]
    (tmp_path / "photo.jpg").write_bytes(photo(1000, 600))
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    image = json.loads(done.stdout)
    files = [(each["url"], (each["width"], each["height"])) for each in image["renditions"]]
    assert [size for _, size in files] == [(320, 192), (640, 384), (1000, 600)]
    for url, size in (*files, (image["thumbnailUrl"], (400, 400))):
        answer = httpx.get(url)
        assert answer.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(answer.content)).size == size


def test_a_library_from_upload_to_delete(url: str, state_dir: Path):
    headers = {"Authorization": f"Bearer {token(state_dir)}"}
    with httpx.Client(base_url=url, headers=headers) as client:
        uploaded = client.post(
            "/images",
            files={"file": ("photo.jpg", PHOTO)},
            data={"title": "Castle gate", "tags": ["castle", "medieval"]},
        )
        assert uploaded.status_code == 201
        location = uploaded.headers["location"]
        listed = client.get("/images", params={"tag": "castle", "limit": 3}).json()
        assert [image["title"] for image in listed["images"]] == ["Castle gate"]
        edited = client.patch(location, json={"title": "Gate house", "version": 1})
        assert (edited.status_code, edited.json()["version"]) == (200, 2)
        assert client.get(location, headers={"If-None-Match": '"2"'}).status_code == 304
        assert client.delete(location).status_code == 204
        assert client.get(location).status_code == 404


def test_the_log_has_one_line_a_request_and_no_token(dev: Running, url: str, state_dir: Path):
    secret = token(state_dir, "logged-user")
    httpx.get(
        f"{url}/images?albumId=private-album",
        headers={"Authorization": f"Bearer {secret}", "X-Request-ID": "log-me"},
    )
    line = json.loads(dev.wait_for(".*log-me.*")[0])
    assert line["route"] == "/images"
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 200, "logged-user")
    assert line["stage"] == "local"
    logged = "".join(line for line in dev.output if line.startswith("{"))
    assert "private-album" not in logged
    assert not re.search(r"eyJ[\w-]+\.eyJ", logged)
    assert sum("log-me" in line for line in dev.output) == 1


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:3000"])
def test_a_front_end_on_this_machine_can_call_it(url: str, origin: str):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert httpx.options(f"{url}/images", headers=asked).status_code == 200
    answer = httpx.get(f"{url}/images", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin


def test_other_pages_cannot(url: str):
    asked = {"Origin": "http://localhost.example", "Access-Control-Request-Method": "POST"}
    assert httpx.options(f"{url}/images", headers=asked).status_code == 400


def receive_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def test_an_early_answer_reaches_a_client_that_is_still_sending(url: str):
    parts = urlsplit(url)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(
            b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data\r\n"
            b"Content-Length: 400000\r\n\r\n"
        )
        connection.sendall(b"x" * 400_000)
        answer = receive_all(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["code"] == "TOKEN_MISSING"


def test_a_client_that_waits_to_be_asked_for_the_body_is_not_asked(url: str):
    parts = urlsplit(url)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(
            b"POST /images HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 400000\r\n\r\n"
        )
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"100 Continue" not in answer


def test_too_large_is_refused_at_once_by_its_length(url: str, state_dir: Path):
    parts = urlsplit(url)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(
            b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: 99999999\r\n\r\n"
            % token(state_dir).encode()
        )
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"FILE_TOO_LARGE" in answer


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running(tmp_path: Path, signal_number: int):
    with started("dev", "--port", "0", "--state-dir", str(tmp_path)) as running:
        url = urlsplit(running.wait_for(r"(http://\S+)/docs")[1])
        running.wait_for("Stop with Ctrl-C")
        emulator = urlsplit(environment_of_running(tmp_path)["AWS_ENDPOINT_URL_S3"])
        code = running.stop(signal_number)
    assert code == (-signal.SIGKILL if signal_number == signal.SIGKILL else 0)
    for left in (url, emulator):
        assert gone(left.hostname or "", left.port or 0)


def gone(host: str, port: int) -> bool:
    """Whether nothing listens there, within a while: it saves first."""
    for _ in range(300):
        try:
            socket.create_connection((host, port), timeout=0.1).close()
        except OSError:
            return True
        signal.sigtimedwait([], 0.1)
    return False


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started("dev", "--port", str(port), "--state-dir", str(tmp_path)) as running:
            running.wait_for("in use")
            assert running.process.wait(START_SECONDS) != 0
        [line] = running.output
        assert line.startswith(f"image-service: port {port} is in use; ")
        assert "--port" in line


def test_serve_says_that_its_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        nobody = "http://127.0.0.1:9"
        done = subprocess.run(
            [COMMAND, "serve"],
            env={
                **os.environ,
                **stack.aws_environment(nobody),
                **stack.service_environment(nobody),
                "IMAGE_SERVICE_PORT": port,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert f"port {port} is in use" in line
    assert "IMAGE_SERVICE_PORT" in line


def test_an_address_of_another_machine_is_said(tmp_path: Path):
    options = ("--host", "203.0.113.9", "--port", "0", "--state-dir", str(tmp_path))
    done = subprocess.run([COMMAND, "dev", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "203.0.113.9 (Cannot assign requested address)" in line


def test_serve_names_every_missing_setting():
    done = subprocess.run(
        [COMMAND, "serve"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "IMAGE_SERVICE_BUCKET is not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 6


def test_openapi_prints_the_document():
    done = subprocess.run([COMMAND, "openapi"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["info"]["title"] == "Image Service"


def test_a_user_the_service_would_refuse_gets_no_token(state_dir: Path):
    done = subprocess.run(
        [COMMAND, "token", "--user", "../x", "--state-dir", str(state_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("doctor", "--write"), ("reconcile",)])
def test_the_tools_find_the_running_stack_in_order(
    dev: Running, url: str, state_dir: Path, command: tuple[str, ...]
):
    headers = {"Authorization": f"Bearer {token(state_dir)}"}
    assert httpx.post(f"{url}/images", files={"file": PHOTO}, headers=headers).is_success
    done = subprocess.run(
        [COMMAND, *command, "--local", "--state-dir", state_dir],
        # What a shell says of a real account counts for nothing.
        env={
            **os.environ,
            "AWS_PROFILE": "someone",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "IMAGE_SERVICE_BUCKET": "a-real-one",
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if command[0] == "doctor":
        marks = [line[0] for line in done.stdout.splitlines()]
        assert set(marks) == {"✓", "·"}
        assert marks.count("·") == 1
        assert stack.BUCKET in done.stdout
    else:
        assert "Looked at" in done.stdout
        assert "reconcile_finished" not in done.stdout  # a line for alarms


@pytest.mark.parametrize("command", ["doctor", "reconcile", "rerender"])
def test_the_tools_need_a_running_stack(tmp_path: Path, command: str):
    done = subprocess.run(
        [COMMAND, command, "--local", "--state-dir", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"image-service: no local stack runs on {tmp_path}; start one: image-service dev\n"
    )
