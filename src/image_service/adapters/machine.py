"""The processors and the memory this process may use, and whether the settings fit them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image_service.domain.diagnosis import Diagnosis, failed, warning, well

_MIB: Final = 2**20
# Measured (README, "Choose the settings for a task size"): the process itself, and what the
# allocator holds beyond what it has handed out.
_BASE_BYTES: Final = 140 * 10**6
_ALLOCATOR_SHARE: Final = 0.2

_CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMITS: Final = (  # of control groups, version 2 and 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_TABLE: Final = "see the task sizes in the README"


def available_cpus() -> int:
    """Whole processors this process may use, by affinity and by the container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cpus, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or "max": no quota
        return cpus


def available_memory() -> int | None:
    """Bytes this process may use, by the machine and by the container's limit."""
    limits = []
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _MEMORY_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limits, default=None)


class WorkersCheck:
    """A `SystemCheck` of the number of worker threads."""

    name = "workers"

    def __init__(self, threads: int, cpus: int) -> None:
        self._threads = threads
        self._cpus = cpus

    async def examine(self) -> Sequence[Diagnosis]:
        detail = f"{self._threads} for {self._cpus} CPUs"
        if self._threads <= self._cpus:
            return [well(self.name, detail)]
        remedy = f"set IMAGE_SERVICE_WORKER_THREADS to {self._cpus}, or leave it out"
        return [warning(self.name, f"{detail}: pictures slow each other and reads down", remedy)]


class MemoryCheck:
    """A `SystemCheck` of what the settings let the process take at its peak."""

    name = "memory"

    def __init__(self, *, upload_bytes: int, decode_bytes: int, limit: int | None) -> None:
        self._in_use = _BASE_BYTES + upload_bytes + decode_bytes
        self._limit = limit

    async def examine(self) -> Sequence[Diagnosis]:
        peak = self._in_use * (1 + _ALLOCATOR_SHARE)
        detail = f"the settings allow a peak of {peak / _MIB:.0f} MiB"
        if self._limit is None:
            return [well(self.name, detail)]
        detail += f", there are {self._limit / _MIB:.0f}"
        if peak <= self._limit:
            return [well(self.name, detail)]
        remedy = (
            "lower IMAGE_SERVICE_UPLOAD_MEMORY_BYTES or …_DECODE_MEMORY_BYTES, "
            f"or give the task more; {_TABLE}"
        )
        if self._in_use <= self._limit:
            return [warning(self.name, f"{detail}: it may just not fit", remedy)]
        return [failed(self.name, f"{detail}: the kernel will kill it", remedy)]
