"""The picture pipeline alone: no server, no store, as many workers as there are cores."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from image_service.domain.renditions import table
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor


async def pictures_per_second(data: bytes, seconds: float) -> float:
    workers, renditions = os.cpu_count() or 1, table(())
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=workers)
    done, end = 0, time.monotonic() + seconds

    async def one_after_another() -> None:
        nonlocal done
        while time.monotonic() < end:
            await processor.process(data, await processor.inspect(data), renditions)
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(2 * workers)))
    rate = done / (time.monotonic() - began)
    processor.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests.bare")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    print(asyncio.run(pictures_per_second(options.file.read_bytes(), options.seconds)))


if __name__ == "__main__":
    main()
