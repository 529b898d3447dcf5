"""An engine in a process of its own: `python -m benchmarks.pictures.worker NAME`.

Answers each line of JSON on its standard input with one. Tasks: "one" processes `file`, and
writes both pictures to where `save` says; "throughput" goes through `files` for `seconds`,
`parallel` at a time; "about" tells versions and the peak of its memory. CPU time is
that of all threads, and of the children where decoders run in them.
"""

# ruff: noqa: ASYNC240 - files are read between measurements, and nothing else is to run

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyvips
from PIL import features

from benchmarks.children import cpu_of, resident
from benchmarks.pictures import bound, rivals, thumbor
from image_service.domain.renditions import RENDITIONS, THUMBNAIL
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor


class Made(NamedTuple):
    main: bytes
    thumbnail: bytes


class Engine(NamedTuple):
    process: Callable[[Path], Awaitable[Made]]
    cpu_seconds: Callable[[], float] = bound.cpu_seconds
    peak_rss_mib: Callable[[], float] = bound.peak_rss_mib


@contextmanager
def service() -> Iterator[Engine]:
    """The service's own: inspection, both pictures, placeholder and colour."""
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=os.cpu_count() or 1)

    async def process(file: Path) -> Made:
        data = file.read_bytes()
        made = await processor.process(data, await processor.inspect(data), RENDITIONS)
        return Made(made.main.data, made.pictures[THUMBNAIL].data)

    def cpu_seconds() -> float:
        return bound.cpu_seconds() + sum(cpu_of(child.pid) for child in children)

    def peak_rss_mib() -> float:
        return bound.peak_rss_mib() + sum(resident(child.pid, "VmHWM") for child in children)

    children = processor._children  # noqa: SLF001 - there is no other use for it
    yield Engine(process, cpu_seconds, peak_rss_mib)
    processor.close()


@contextmanager
def pillow() -> Iterator[Engine]:
    async def process(file: Path) -> Made:
        return Made(*await asyncio.to_thread(rivals.pillow, file.read_bytes()))

    yield Engine(process)


@contextmanager
def other_server() -> Iterator[Engine]:
    with thumbor.running() as server:

        async def process(file: Path) -> Made:
            return Made(*await server.process(file))

        yield Engine(process, server.cpu_seconds, server.peak_rss_mib)


ENGINES = {"service": service, "pillow": pillow, "thumbor": other_server}


class Worker:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def one(self, file: str, save: str | None = None) -> dict[str, float]:
        wall, cpu = time.perf_counter(), self._engine.cpu_seconds()
        made = await self._engine.process(Path(file))
        answer = {
            "cpu_ms": (self._engine.cpu_seconds() - cpu) * 1000,
            "wall_ms": (time.perf_counter() - wall) * 1000,
            "main_bytes": len(made.main),
            "thumbnail_bytes": len(made.thumbnail),
        }
        if save:
            Path(f"{save}.main.webp").write_bytes(made.main)
            Path(f"{save}.thumbnail.webp").write_bytes(made.thumbnail)
        return answer

    async def throughput(self, files: list[str], seconds: float, parallel: int) -> dict[str, float]:
        start, taken, done = time.perf_counter(), 0, 0

        async def client() -> None:
            nonlocal taken, done
            # Whole rounds of the corpus only, so that every engine does the same work.
            while taken % len(files) or time.perf_counter() - start < seconds:
                taken += 1
                await self._engine.process(Path(files[(taken - 1) % len(files)]))
                done += 1

        await asyncio.gather(*(client() for _ in range(parallel)))
        return {"per_second": done / (time.perf_counter() - start)}

    async def bound(self, file: str) -> dict[str, dict[str, float]]:
        return bound.measure(Path(file).read_bytes())

    async def about(self) -> dict[str, Any]:
        return {
            "versions": {
                "python": platform.python_version(),
                "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),
                "pillow": features.version("pil"),
                "pillow's libwebp": features.version("webp"),
            },
            "peak_rss_mib": self._engine.peak_rss_mib(),
        }


async def main() -> None:
    with ENGINES[sys.argv[1]]() as engine:
        worker = Worker(engine)
        for line in sys.stdin:
            options = json.loads(line)
            answer = await getattr(worker, options.pop("task"))(**options)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
