"""Checks of libvips, and of the settings against the machine's processors and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from image_service.domain.task_size import ALLOCATOR_SHARE, LEAST_MEMORY, fits, memory_in_use
from image_service.pictures.worker_child import ChildNotStarted, WorkerChild
from image_service.tools.doctor.diagnosis import Diagnosis, failed, warning, well

_MIB: Final = 2**20
_TABLE: Final = "see the task sizes in docs/scaling.md"


class VipsCheck:
    """A `SystemCheck`: the self-test that every child begins with."""

    name = "libvips"

    async def examine(self) -> Sequence[Diagnosis]:
        try:
            version = await asyncio.to_thread(_started)
        except ChildNotStarted as failure:  # our own words
            remedy = "install pyvips-binary as pinned in requirements/runtime.txt"
            return [failed(self.name, str(failure), remedy)]
        return [well(self.name, f"{version}, loads JPEG, PNG and WebP and nothing else")]


def _started() -> str:
    child = WorkerChild()
    child.close()
    return child.libvips


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

    def __init__(
        self, *, workers: int, upload_bytes: int, decode_bytes: int, limit: int | None
    ) -> None:
        self._workers = workers
        self._pictures = upload_bytes + decode_bytes
        self._in_use = memory_in_use(workers, self._pictures)
        self._limit = limit

    async def examine(self) -> Sequence[Diagnosis]:
        peak = self._in_use * (1 + ALLOCATOR_SHARE)
        detail = f"the settings allow a peak of {peak / _MIB:.0f} MiB"
        if self._limit is None:
            return [well(self.name, detail)]
        detail += f", there are {self._limit / _MIB:.0f}"
        if self._limit < LEAST_MEMORY:
            detail = f"there are {self._limit / _MIB:.0f} MiB"
            remedy = f"give the container or unit more; {_TABLE}"
            least = f"the service starts with {LEAST_MEMORY // _MIB} or more"
            return [failed(self.name, f"{detail}, {least}", remedy)]
        if fits(self._limit, self._workers, self._pictures):
            return [well(self.name, detail)]
        remedy = (
            "lower IMAGE_SERVICE_UPLOAD_MEMORY_BYTES or …_DECODE_MEMORY_BYTES, "
            f"or give the task more; {_TABLE}"
        )
        if self._in_use <= self._limit:
            return [warning(self.name, f"{detail}: it may just not fit", remedy)]
        return [failed(self.name, f"{detail}: the kernel will kill it", remedy)]
