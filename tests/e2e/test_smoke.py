"""`image-service dev` and `token`, once through: start, upload, fetch, delete, Ctrl-C."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from tests.api.photos import photo
from tests.e2e.conftest import COMMAND, started

pytestmark = pytest.mark.e2e


def test_a_picture_from_upload_to_delete_and_ctrl_c(state_dir: Path):
    with started("dev", "--port", "0", "--state-dir", str(state_dir)) as dev:
        url = dev.wait_for(r"(http://\S+)/docs")[1]
        options = ["--user", "alice", "--state-dir", str(state_dir)]
        token = subprocess.check_output([COMMAND, "token", *options], text=True).strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            upload_and_delete(client)
        assert dev.stop(signal.SIGINT) == 0
    parts = urlsplit(url)
    with socket.socket() as probe:
        assert probe.connect_ex((parts.hostname or "", parts.port or 0)) != 0


def upload_and_delete(client: httpx.Client) -> None:
    answer = client.post("/images", files={"file": photo(1000, 600)}, data={"title": "Gate"})
    assert answer.status_code == 201
    image = answer.json()
    files = [(each["url"], (each["width"], each["height"])) for each in image["renditions"]]
    assert [size for _, size in files] == [(320, 192), (640, 384), (1000, 600)]
    for url, size in (*files, (image["thumbnailUrl"], (400, 400))):
        picture = httpx.get(url)
        assert picture.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(picture.content)).size == size
    assert client.get("/images").json()["images"] == [answer.json()]
    assert client.delete(answer.headers["location"]).status_code == 204
    assert client.get(answer.headers["location"]).status_code == 404
