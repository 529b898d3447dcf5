"""The real server in a process of its own, on embedded parts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.children import cpu_of, family
from image_service.devstack import stack

COMMAND = Path(sys.executable).parent / "image-service"
JEMALLOC_SETTINGS = "background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:5000"  # Dockerfile's
_START_SECONDS = 60
_POLL_SECONDS = 0.005


class Server(NamedTuple):
    pid: int
    url: str
    start_seconds: float  # from exec to the first 200 of /health/ready
    start_cpu_seconds: float  # of its process, until then


@contextmanager
def server(environment: Mapping[str, str], preload: str | None = None) -> Iterator[Server]:
    """`image-service serve`, ready; `preload` is a library to load before all others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, **environment, **stack.WITHOUT_PROXY}
    env |= {
        "IMAGE_SERVICE_PORT": str(port),
        "IMAGE_SERVICE_LOG_LEVEL": "error",
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute",
        "IMAGE_SERVICE_DRAIN_SECONDS": "0",
    }
    if preload:
        env["LD_PRELOAD"] = preload
        env["MALLOC_CONF"] = JEMALLOC_SETTINGS
    began = time.monotonic()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen([COMMAND, "serve"], env=env, **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url)
        yield Server(process.pid, url, time.monotonic() - began, _cpu_seconds(process.pid))
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(pid: int) -> float:
    """Of all threads, and of the children."""
    return sum(map(cpu_of, family(pid)))


def _wait_until_ready(url: str) -> None:
    give_up = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up:
            with suppress(httpx.TransportError):
                if client.get(f"{url}/health/ready").status_code == httpx.codes.OK:
                    return
            time.sleep(_POLL_SECONDS)
    raise RuntimeError("the server did not start")
