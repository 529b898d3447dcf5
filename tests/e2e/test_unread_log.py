"""A log that nobody reads any more, as behind a log driver that hangs."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.e2e.conftest import COMMAND
from tests.e2e.raw import exchange, request_head

pytestmark = pytest.mark.e2e


def test_requests_are_served_and_a_stop_ends_though_nobody_reads_the_log(tmp_path: Path):
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # bytes; the line of a request has 400
    command = [COMMAND, "dev", "--port", "0", "--state-dir", tmp_path]
    environment = {**os.environ, "IMAGE_SERVICE_OPS_PORT": "0"}
    with subprocess.Popen(
        command, stdout=writing, stderr=subprocess.STDOUT, env=environment
    ) as server:
        os.close(writing)
        try:
            output = b""
            while b"Stop with Ctrl-C" not in output:
                output += os.read(reading, 100)
            found = re.search(rb"http://(\S+)/docs", output)
            assert found
            head = request_head("GET", "/openapi.json", "Connection: close")
            statuses = [exchange(found[1].decode(), head).status for _ in range(50)]
            assert set(statuses) == {200}
            server.terminate()
            assert server.wait(timeout=120) == 0
        finally:
            server.kill()
            os.close(reading)
