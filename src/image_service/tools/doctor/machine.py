"""Checks of libvips, and of the settings against the machine's processors and memory."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from image_service.adapters.machine import available_cpus, available_memory
from image_service.bootstrap import admission_limits
from image_service.domain.task_size import (
    ALLOCATOR_SHARE,
    LEAST_MEMORY,
    SMALLEST_TASK,
    fits,
    memory_in_use,
)
from image_service.pictures.worker_child import ChildNotStarted, WorkerChild
from image_service.tools.doctor.findings import Finding, failed, warning, well
from image_service.tools.doctor.runner import Systems

_MIB: Final = 2**20
_TABLE: Final = "see the task sizes in docs/scaling.md"


async def libvips(_: Systems) -> Finding:
    """Starts a child, which begins with a self-test."""
    try:
        version = await asyncio.to_thread(_started)
    except ChildNotStarted as failure:  # our own words
        return failed(str(failure), "install pyvips-binary as pinned in requirements/runtime.txt")
    return well(f"{version}, loads JPEG, PNG and WebP and nothing else")


async def workers(at: Systems) -> Finding:
    threads = admission_limits(at.settings, at.times).workers
    return workers_for(threads, math.ceil(available_cpus()))


async def memory(at: Systems) -> Finding:
    limits = admission_limits(at.settings, at.times)
    found = [size for size in (at.settings.task_memory_bytes, available_memory()) if size]
    pictures = limits.upload_bytes + limits.decode_bytes
    return memory_for(limits.workers, pictures, min(found, default=None))


def _started() -> str:
    child = WorkerChild()
    child.close()
    return child.libvips


def workers_for(threads: int, cpus: int) -> Finding:
    detail = f"{threads} for {cpus} CPUs"
    if threads <= cpus:
        return well(detail)
    remedy = f"set IMAGE_SERVICE_WORKER_THREADS to {cpus}, or leave it out"
    return warning(f"{detail}: pictures slow each other and reads down", remedy)


def memory_for(workers: int, pictures: int, limit: int | None) -> Finding:
    """Returns what the settings let the process take at its peak, with bytes of `pictures`."""
    in_use = memory_in_use(workers, pictures)
    detail = f"the settings allow a peak of {in_use * (1 + ALLOCATOR_SHARE) / _MIB:.0f} MiB"
    if limit is None:
        return well(detail)
    if limit < LEAST_MEMORY:
        least = f"the service starts with {LEAST_MEMORY // _MIB} or more"
        remedy = f"give the container or unit {SMALLEST_TASK // _MIB} or more; {_TABLE}"
        return failed(f"there are {limit / _MIB:.0f} MiB, {least}", remedy)
    detail += f", there are {limit / _MIB:.0f}"
    if fits(limit, workers, pictures):
        return well(detail)
    remedy = (
        "lower IMAGE_SERVICE_UPLOAD_MEMORY_BYTES or …_DECODE_MEMORY_BYTES, "
        f"or give the task more; {_TABLE}"
    )
    if in_use <= limit:
        return warning(f"{detail}: it may just not fit", remedy)
    return failed(f"{detail}: the kernel will kill it", remedy)
