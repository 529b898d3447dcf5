"""The log's way out: nothing leaves by another, whatever becomes of stdout."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from image_service.telemetry.log_output import MAX_BACKLOG_BYTES, LogOutput
from image_service.telemetry.telemetry import Telemetry

pytestmark = pytest.mark.slow

SECRET = "c2VjcmV0LXRva2VuLTEyMw"
SETUP = f"""
import logging, threading, warnings
import structlog
from image_service.telemetry.logging import configure_logging, log_what_python_prints

configure_logging("info", "json", "test")
log_what_python_prints()
SECRET = "Bearer {SECRET}"

def fail():
    raise RuntimeError(SECRET)

class Fails:
    def __del__(self):
        fail()
"""
WAYS = {
    "event": "structlog.stdlib.get_logger('a').error('failed', answer=SECRET)",
    "a library": "logging.getLogger('uvicorn.error').error('x %s', SECRET)",
    "an exception": "try: fail()\nexcept RuntimeError: logging.getLogger('a').exception('x')",
    "a warning": "warnings.warn(SECRET)",
    "a thread": "thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "a finalizer": "Fails()",
    "nobody's exception": "fail()",
    "no format": "logging.getLogger('a').error('%d', SECRET)",
}


def run(way: str, stdout: int) -> tuple[bytes, str]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + WAYS[way]],
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    return done.stdout or b"", done.stderr.decode()


@contextmanager
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_hidden_whichever_way_it_comes(way: str):
    out, errors = run(way, subprocess.PIPE)
    assert SECRET not in out.decode() + errors
    if way == "no format":
        assert errors == "log lines are lost: TypeError\n"
    else:
        assert b"[hidden]" in out
        assert errors == ""


@pytest.mark.parametrize("broken", [full, unread])
@pytest.mark.parametrize("way", WAYS)
def test_where_stdout_fails_stderr_has_the_cause_and_no_line(way: str, broken: type[full]):  # type: ignore[valid-type]
    with broken() as stdout:
        _, errors = run(way, stdout)
    assert SECRET not in errors
    assert errors.startswith("log lines are lost: ")


LONG = 10_000  # characters: several pieces of what a pipe takes at once
MANY = 2 * MAX_BACKLOG_BYTES // LONG
STALLED = f"""
log = structlog.stdlib.get_logger("a")
for number in range({MANY}):
    log.info("line", number=number, text=SECRET + " " + "x" * {LONG})
print("went on", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@contextmanager
def stalled(code: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process, and the reading end of its small pipe that nobody has read from yet."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-c", "import sys\n" + SETUP + code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=writing, stderr=pipe) as process:
        os.close(writing)
        try:
            yield process, reading
        finally:
            os.close(reading)
            process.kill()


def read_lines(reading: int, last: str) -> list[dict[str, Any]]:
    """Up to the first line of that event."""
    lines: list[dict[str, Any]] = []
    with os.fdopen(os.dup(reading), "rb") as stream:
        while not lines or lines[-1]["event"] != last:
            lines.append(json.loads(stream.readline()))
    return lines


def test_a_reader_that_stops_stops_nobody_and_finds_whole_lines_in_order():
    with stalled(STALLED) as (process, reading):
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(2)]
        assert told == [b"log lines are lost: stdout is not read\n", b"went on\n"]
        *lines, last = read_lines(reading, "log_lines_dropped")
    numbers = [line["number"] for line in lines]
    assert numbers == list(range(len(lines)))
    assert MANY / 3 < len(lines) < MANY
    assert last == last | {"event": "log_lines_dropped", "level": "error", "stage": "test"}
    assert last["lines"] == MANY - len(lines)
    assert all(line["text"].startswith("Bearer [hidden]") for line in lines)


def test_a_process_ends_though_nobody_reads():
    with stalled(STALLED) as (process, _):
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_lines_go_straight_out_again_once_they_are_read():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writing, "w") as stream:
        output = LogOutput(stream)
        for number in range(300):
            output.handle(logging.makeLogRecord({"msg": f"{number} {100 * 'x'}"}))
        reader = os.fdopen(reading, "rb")
        assert [int(reader.readline().split()[0]) for _ in range(300)] == list(range(300))
        output.flush()
        before = threading.active_count()
        output.handle(logging.makeLogRecord({"msg": "straight"}))
        assert threading.active_count() == before
    assert reader.read() == b"straight\n"
    reader.close()


def test_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LogOutput, "dropped", 7)
    text = Telemetry().render("text/plain")[0].decode()
    assert "image_service_log_lines_dropped_total 7.0" in text
