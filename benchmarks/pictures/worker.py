"""An engine in a process of its own: `python -m benchmarks.pictures.worker NAME`.

Answers each line of JSON on its standard input with one. Tasks: "one" processes `file`, and
writes all `outputs` to where `save` says; "throughput" goes through `files` for `seconds`,
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
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyvips
from PIL import features

from benchmarks.children import cpu_of, resident
from benchmarks.pictures import bound, rivals, thumbor
from benchmarks.pictures.engines import PILLOW, SERVICE, THUMBOR, TWO_FILES
from benchmarks.pictures.outputs import TWO_FILES as OF_TWO_FILES
from benchmarks.pictures.outputs import Outputs
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor

Files = dict[str, bytes]  # by the rendition's name


class Engine(NamedTuple):
    process: Callable[[Path, Outputs], Awaitable[Files]]
    cpu_seconds: Callable[[], float] = bound.cpu_seconds
    peak_rss_mib: Callable[[], float] = bound.peak_rss_mib


@contextmanager
def service(specs: Sequence[RenditionSpec] = RENDITIONS) -> Iterator[Engine]:
    """The service's own: inspection, every rendition, placeholder and colour."""
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=os.cpu_count() or 1)

    async def process(file: Path, _: Outputs) -> Files:
        data = file.read_bytes()
        made = await processor.process(data, await processor.inspect(data), specs)
        return {name: each.data for name, each in made.pictures.items()}

    def cpu_seconds() -> float:
        return bound.cpu_seconds() + sum(cpu_of(child.pid) for child in children)

    def peak_rss_mib() -> float:
        return bound.peak_rss_mib() + sum(resident(child.pid, "VmHWM") for child in children)

    children = processor._children  # noqa: SLF001 - there is no other use for it
    yield Engine(process, cpu_seconds, peak_rss_mib)
    processor.close()


@contextmanager
def pillow() -> Iterator[Engine]:
    async def process(file: Path, outputs: Outputs) -> Files:
        made = await asyncio.to_thread(rivals.pillow, file.read_bytes(), outputs)
        return _named(outputs, made)

    yield Engine(process)


@contextmanager
def other_server() -> Iterator[Engine]:
    with thumbor.running() as server:

        async def process(file: Path, outputs: Outputs) -> Files:
            return _named(outputs, await server.process(file, outputs))

        yield Engine(process, server.cpu_seconds, server.peak_rss_mib)


def _named(outputs: Outputs, made: Sequence[bytes]) -> Files:
    return {output["name"]: data for output, data in zip(outputs, made, strict=True)}


ENGINES = {
    SERVICE: service,
    TWO_FILES: lambda: service(OF_TWO_FILES),
    PILLOW: pillow,
    THUMBOR: other_server,
}


class Worker:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def one(self, file: str, outputs: Outputs, save: str | None = None) -> dict[str, Any]:
        wall, cpu = time.perf_counter(), self._engine.cpu_seconds()
        made = await self._engine.process(Path(file), outputs)
        answer = {
            "cpu_ms": (self._engine.cpu_seconds() - cpu) * 1000,
            "wall_ms": (time.perf_counter() - wall) * 1000,
            "bytes": {name: len(data) for name, data in made.items()},
        }
        for name, data in made.items() if save else ():
            Path(f"{save}.{name}.webp").write_bytes(data)
        return answer

    async def throughput(
        self, files: list[dict[str, Any]], seconds: float, parallel: int
    ) -> dict[str, float]:
        start, taken, done = time.perf_counter(), 0, 0

        async def client() -> None:
            nonlocal taken, done
            # Whole rounds of the corpus only, so that every engine does the same work.
            while taken % len(files) or time.perf_counter() - start < seconds:
                taken += 1
                next_one = files[(taken - 1) % len(files)]
                await self._engine.process(Path(next_one["file"]), next_one["outputs"])
                done += 1

        await asyncio.gather(*(client() for _ in range(parallel)))
        return {"per_second": done / (time.perf_counter() - start)}

    async def bound(self, file: str) -> dict[str, dict[str, float]]:
        return bound.measure(Path(file))

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
