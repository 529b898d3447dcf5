"""`image-service rerender` on a running local stack, ended and killed on its way."""

from __future__ import annotations

import io
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tests.api.photos import photo
from tests.e2e.conftest import COMMAND, Running, started

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def dev(state_dir: Path) -> Iterator[Running]:
    """Of before there were widths."""
    environment = {"IMAGE_SERVICE_RENDITION_WIDTHS": ""}
    with started("dev", "--port", "0", "--state-dir", str(state_dir), **environment) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="module")
def client(dev: Running, url: str, state_dir: Path) -> Iterator[httpx.Client]:
    command = [COMMAND, "token", "--user", "alice", "--state-dir", str(state_dir)]
    token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


def by_width(image_url: str, width: int) -> str:
    return image_url.removesuffix(".webp") + f"/w{width}.webp"


def upload(client: httpx.Client) -> httpx.Response:
    response = client.post("/images", files={"file": ("photo.jpg", photo(800, 600))})
    assert response.status_code == 201, response.text
    return response


def command(state_dir: Path, *options: str) -> list[str]:
    return ["rerender", "--local", "--state-dir", str(state_dir), *options]


def rendered(client: httpx.Client) -> int:
    images = client.get("/images", params={"limit": 100}).json()["images"]
    return sum(image["renditions"][0]["name"] == "w320" for image in images)


def test_ended_killed_and_repeated_it_comes_to_its_end(
    client: httpx.Client, state_dir: Path, tmp_path: Path
) -> None:
    uploaded = [upload(client) for _ in range(12)]
    checkpoint = str(tmp_path / "checkpoint.json")
    options = ("--widths", "320,640", "--rate", "0.1", "--resume", checkpoint)
    ends = ((signal.SIGTERM, 2), (signal.SIGINT, 2), (signal.SIGKILL, -signal.SIGKILL))
    for end, status in ends:
        before = rendered(client)
        with started(*command(state_dir, *options)) as running:
            while rendered(client) == before:  # and the next in ten seconds
                assert running.process.poll() is None, running.output
            assert running.stop(end) == status
        if status == 2:
            assert re.search("stopped after .* repeat the command to go on", running.output[-1])
        assert before < rendered(client) < 12

    with started(*command(state_dir, *options[:2], *options[4:], "--rate", "1000")) as running:
        assert running.process.wait() == 0, running.output
    for response in uploaded:
        image = response.json()
        now = client.get(f"/images/{image['id']}", headers={"If-None-Match": '"1"'})
        assert (now.headers["etag"], now.json()["version"]) == ('"1.1"', 1)
        assert now.json()["updatedAt"] == image["updatedAt"]
        assert [each["name"] for each in now.json()["renditions"]] == ["w320", "w640", "main"]
        for width in (320, 640):
            picture = httpx.get(by_width(image["imageUrl"], width))
            assert Image.open(io.BytesIO(picture.content)).size == (width, width * 3 // 4)

    edited = client.patch(uploaded[0].headers["location"], json={"title": "x", "version": 1})
    assert edited.headers["etag"] == '"2.1"'
    with started(*command(state_dir, "--widths", "", "--rate", "1000")) as running:
        assert running.process.wait() == 0, running.output
    assert httpx.get(by_width(uploaded[0].json()["imageUrl"], 320)).status_code == 404
    assert client.get(uploaded[0].headers["location"]).headers["etag"] == '"2.2"'
    reconcile = [COMMAND, "reconcile", "--local", "--state-dir", str(state_dir)]
    assert subprocess.run(reconcile, check=False, capture_output=True).returncode == 0
