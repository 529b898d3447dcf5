"""How the server begins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

START_AND_TELL = """
import gc, os, signal
from image_service.server import serve
from image_service.settings import Settings

def listening(url):
    print(gc.get_freeze_count(), len(gc.get_objects()), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

serve(
    Settings(
        stage="test", table_name="test", bucket="test", cdn_base_url="https://localhost",
        cognito_issuer="https://localhost", cognito_client_ids=frozenset({"c"}),
        host="127.0.0.1", port=0, ops_port=0, drain_seconds=0,
    ),
    listening,
)
"""


@pytest.mark.e2e
def test_what_there_is_at_the_start_is_left_out_of_collections():
    """Or each full one would hold every request up for a tenth of a second."""
    done = subprocess.run(
        [sys.executable, "-c", START_AND_TELL],
        env={**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    frozen, tracked = map(int, done.stdout.split())
    assert frozen > 50_000
    assert tracked < frozen / 10
