"""The server's start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

START_AND_TELL = """
import ctypes, gc, os
from image_service.server.uvicorn_server import serve
from image_service.settings import Settings

def listening(url):
    print("dumpable", ctypes.CDLL(None).prctl(3))
    print("frozen", gc.get_freeze_count(), "others", len(gc.get_objects()), flush=True)
    os._exit(0)

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
def test_the_start_of_the_process():
    """What there is stays out of collections: a full one would hold every request up for 0.1 s.

    And the decoders' processes, of the same user, can't read its environment and memory.
    """
    done = subprocess.run(
        [sys.executable, "-c", START_AND_TELL],
        env={
            **os.environ,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert "dumpable 0\n" in done.stdout
    [(frozen, others)] = re.findall(r"^frozen (\d+) others (\d+)$", done.stdout, re.MULTILINE)
    assert int(frozen) > 50_000
    assert int(others) < int(frozen) / 10


IN_A_SMALL_GROUP = """
import sys
from functools import partial
from pathlib import Path
from image_service.adapters import machine

groups = Path(sys.argv[1])
machine.group_memory = partial(machine.group_memory, groups, groups / "own")
"""


@pytest.mark.e2e
@pytest.mark.parametrize("own", ["0::/task", "4:memory:/task"])
def test_too_little_memory_is_refused(tmp_path: Path, own: str):
    """By what the kernel says of a control group of either version: few may make one."""
    one = own.startswith("4")
    group = tmp_path / ("memory/task" if one else "task")
    group.mkdir(parents=True)
    (group / ("memory.limit_in_bytes" if one else "memory.max")).write_text(f"{128 * 2**20}\n")
    (tmp_path / "own").write_text(f"{own}\n")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_GROUP + START_AND_TELL, str(tmp_path)],
        env={**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 3
    assert "have 128 MiB, at least 256 are needed: give the container" in done.stdout + done.stderr
