"""State of `image-service dev` after a restart, after a kill, and after `--fresh`."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.api.photos import PHOTO
from tests.e2e.conftest import COMMAND, Running, started

from image_service.devstack import stack

pytestmark = pytest.mark.e2e


class Dev:
    def __init__(self, running: Running, state_dir: Path) -> None:
        self.running = running
        self.url = running.wait_for(r"(http://\S+)/docs")[1]
        running.wait_for("Stop with Ctrl-C")
        header = (state_dir / "auth.txt").read_text().strip().partition(": ")
        self.client = httpx.Client(base_url=self.url, headers={header[0]: header[2]}, timeout=60)

    def upload(self, **fields: str) -> dict[str, Any]:
        answer = self.client.post("/images", files={"file": PHOTO}, data=fields)
        assert answer.status_code == 201, answer.text
        image: dict[str, Any] = answer.json()
        return image

    def titles(self) -> list[str]:
        return [image["title"] for image in self.client.get("/images").json()["images"]]


@contextmanager
def dev(state_dir: Path, *options: str) -> Iterator[Dev]:
    with started("dev", "--port", "0", "--state-dir", str(state_dir), *options) as running:
        local = Dev(running, state_dir)
        with local.client:
            yield local


def opens(url: str) -> bool:
    answer = httpx.get(url)
    return answer.status_code == 200 and Image.open(io.BytesIO(answer.content)).format == "WEBP"


def emulator_of(running: Running) -> int:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    [child] = children.read_text().split()
    return int(child)


def test_what_was_put_in_is_there_after_every_kind_of_end(tmp_path: Path):
    with dev(tmp_path) as first:
        image = first.upload(title="one")
        token = first.client.headers["Authorization"]
        assert image["imageUrl"].startswith(first.url)
        assert first.running.stop(signal.SIGINT) == 0

    with dev(tmp_path) as second:
        assert second.url == first.url
        assert opens(image["imageUrl"])
        assert second.client.get("/images", headers={"Authorization": token}).status_code == 200
        second.upload(title="two")  # and killed at once: the emulator saves, then goes
        assert second.running.stop(signal.SIGKILL) == -signal.SIGKILL

    with dev(tmp_path) as third:
        assert third.titles() == ["two", "one"]
        third.upload(title="three")
        saved = tmp_path / "emulator/items/dynamodb.json"
        deadline = time.monotonic() + 30
        while "three" not in saved.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(emulator_of(third.running), signal.SIGKILL)
        third.running.stop(signal.SIGKILL)

    with dev(tmp_path) as fourth:
        assert fourth.titles() == ["three", "two", "one"]
        assert all(
            opens(listed[url])
            for listed in fourth.client.get("/images").json()["images"]
            for url in ("imageUrl", "thumbnailUrl")
        )

    with dev(tmp_path, "--fresh") as fresh:
        assert fresh.titles() == []
        assert not opens(image["imageUrl"])


def test_a_phone_can_open_what_every_address_serves(tmp_path: Path):
    with dev(tmp_path, "--host", "0.0.0.0") as local:
        image = local.upload()
        assert image["imageUrl"].startswith(
            stack.base_url("0.0.0.0", httpx.URL(local.url).port or 0)
        )
        assert opens(image["imageUrl"])
        assert local.running.wait_for(r"Pictures +(http://\S+)/images/")[1] == local.url
        # The emulator, which lets anyone do anything, is for this machine alone.
        running = json.loads((tmp_path / "running.json").read_text())
        assert running["environment"]["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1:")


def test_a_second_one_is_refused_in_a_line(state_dir: Path, url: str):
    done = subprocess.run(
        [COMMAND, "dev", "--port", "0", "--fresh", "--state-dir", state_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "runs on" in line
    assert httpx.get(f"{url}/health/live").status_code == 200


def test_pictures_are_served_as_the_cdn_serves_them(url: str, state_dir: Path):
    header = (state_dir / "auth.txt").read_text().strip().partition(": ")[2]
    headers = {"Authorization": header}
    image = httpx.post(f"{url}/images", files={"file": PHOTO}, headers=headers).json()
    whole = httpx.get(image["imageUrl"], headers={"Origin": "http://localhost:5173"})
    assert whole.headers["content-type"] == "image/webp"
    assert whole.headers["access-control-allow-origin"] == "*"
    assert "immutable" in whole.headers["cache-control"]
    again = httpx.get(image["imageUrl"], headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = httpx.get(image["imageUrl"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    head = httpx.head(image["imageUrl"])
    assert head.headers["content-length"] == str(len(whole.content))
    missing = httpx.get(f"{url}/images/nobody/none.webp")
    assert missing.status_code in (403, 404)
    assert httpx.get(f"{url}/images/{image['id']}").status_code == 401  # the service's own
