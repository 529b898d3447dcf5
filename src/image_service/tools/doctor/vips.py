"""The check that a child process starts, with a libvips that passes its self-test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from image_service.pictures.worker_child import ChildNotStarted, WorkerChild
from image_service.tools.doctor.diagnosis import Diagnosis, failed, well


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
