"""Cost of the child processes that pictures are decoded in.

    python -m benchmarks.hand_over [ROUNDS]

The same pictures through the pipeline in this process, and through a child: seconds of CPU of
both sides, the lowest of ROUNDS (20), which other load disturbs least. Then the start of a
child, and its memory: idle, after each picture, and after pictures of 8000 x 8000 pixels. With
LD_PRELOAD and MALLOC_CONF in the environment the child has that allocator. Linux only.
"""

from __future__ import annotations

import asyncio
import sys
import time

from PIL import Image
from tests import costly, pictures

from benchmarks.children import cpu_of, resident
from image_service.domain.renditions import RENDITIONS
from image_service.pictures import libvips, pipeline
from image_service.pictures.header import PictureLimits, read_header
from image_service.pictures.processor import VipsProcessor
from image_service.pictures.steps import Steps
from image_service.pictures.worker_child import WorkerChild

FILES = {
    "JPEG, 12 MP": pictures.encode(pictures.textured(4000, 3000), "JPEG", quality=92),
    "JPEG, 2 MP": pictures.encode(pictures.textured(1600, 1200), "JPEG", quality=90),
    "PNG, 2 MP": pictures.encode(pictures.textured(1600, 1200), "PNG", compress_level=1),
}


FLAT = Image.new("RGB", (8000, 8000), (200, 90, 40))
LARGE = {
    "JPEG": lambda: pictures.encode(FLAT, "JPEG"),
    "JPEG, progressive": lambda: pictures.encode(FLAT, "JPEG", progressive=True, subsampling=0),
    "PNG, interlaced, 16-bit RGBA": lambda: costly.largest_png(6, 4),
    "WebP, lossless": lambda: costly.flat_webp("RGB", lossless=True, quality=0),
    "WebP, RGBA": lambda: costly.flat_webp("RGBA"),
}
DECAY = 6.0  # seconds; after 5 jemalloc has given back what is unused


def started() -> tuple[float, float]:
    """Seconds until a child is ready, and its MiB."""
    began = time.perf_counter()
    child = WorkerChild()
    seconds, memory = time.perf_counter() - began, resident(child.pid)
    child.close()
    return seconds, memory


async def main(rounds: int) -> None:
    starts = [started() for _ in range(5)]
    print(f"a child is ready in {min(starts)[0]:.2f} s and has {min(starts)[1]:.0f} MiB")
    libvips.configure()
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=1)
    await processor.start()
    [child] = processor._children  # noqa: SLF001 - there is no other use for it
    for name, data in FILES.items():
        source = read_header(data, PictureLimits())
        here, there = [], []
        for _ in range(rounds):
            used = time.process_time()
            pipeline.process(data, source, RENDITIONS, Steps())
            here.append(time.process_time() - used)
            used = time.process_time() + cpu_of(child.pid)
            await processor.process(data, source, RENDITIONS)
            there.append(time.process_time() + cpu_of(child.pid) - used)
        cost = min(there) / min(here) - 1
        print(
            f"{name:12} {len(data) / 2**20:4.1f} MiB  in process {1000 * min(here):5.0f} ms  "
            f"in a child {1000 * min(there):5.0f} ms  ({100 * cost:+.1f} %)  "
            f"child {resident(child.pid):.0f} MiB"
        )
    for name, make in LARGE.items():
        data = make()
        await processor.process(data, read_header(data, PictureLimits()), RENDITIONS)
        await asyncio.sleep(DECAY)
        idle, most = resident(child.pid), resident(child.pid, "VmHWM")
        print(f"{name:30} then idle {idle:.0f} MiB, at most so far {most:.0f}")
    processor.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
