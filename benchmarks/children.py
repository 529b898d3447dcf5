"""CPU time and memory of the child processes in which the service decodes."""

from __future__ import annotations

import re
from pathlib import Path


def family(pid: int) -> list[int]:
    """A server, and the children it has now."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for thread in children for child in thread.read_text().split())]


def resident(pid: int, what: str = "VmRSS") -> float:
    """MiB; VmHWM is the most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def cpu_of(pid: int) -> float:
    """Seconds that all threads have run."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
