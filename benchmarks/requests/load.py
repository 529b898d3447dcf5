"""Load by wrk: a fixed number of connections, each sending as soon as it is answered."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.requests.processes import Running, cores, pinned, required

_SCRIPT = Path(__file__).parent / "load.lua"


@dataclass(frozen=True)
class Figures:
    """Of one run.

    `cpu_us` is the server's own, user and system, all threads, a request. `busy` is the share
    of the time it was on a core: with more connections than it can serve at once that is all
    of the time, and less says that others had the core, and its caches.
    """

    requests_per_s: float
    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    busy: float


def put_load(server: Running, requests: Path, *, seconds: int, connections: int) -> Figures:
    """Raises SystemExit where a single request is refused: its figures would mean nothing."""
    wrk = required("wrk", "apt-get install wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    command += ["-s", str(_SCRIPT), server.url, "--", str(requests)]
    before, began = server.cpu_seconds(), time.monotonic()
    done = subprocess.run(
        pinned(command, cores()[1]), capture_output=True, text=True, check=True
    ).stdout
    cpu, elapsed = server.cpu_seconds() - before, time.monotonic() - began
    said = json.loads(done.splitlines()[-1])
    if said["refused"] or said["broken"] or not said["requests"]:
        raise SystemExit(f"{server.name} failed on {requests.stem}: {said}")
    return Figures(
        requests_per_s=said["requests"] / said["seconds"],
        cpu_us=cpu / said["requests"] * 1e6,
        p50_ms=said["p50_ms"],
        p95_ms=said["p95_ms"],
        p99_ms=said["p99_ms"],
        busy=cpu / elapsed,
    )
