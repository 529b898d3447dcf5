"""The log's way out: nothing leaves by another, whatever becomes of stdout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

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
