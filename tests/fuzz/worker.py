"""Has the processor take mutants, one after the other, in a process that may not grow.

    python -m tests.fuzz.worker --seed 1 --seconds 30
    python -m tests.fuzz.worker --seed 1 --only 4711      # one file again

Ends with a line of JSON: how many of which outcome, the slowest, and the memory in use
after a fifth of the time and at the end. Before each file its number is on stderr, so that
after a crash it is known which it was.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import itertools
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutations import mutant

from image_service.domain.errors import InvalidRequest, Overloaded
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor

MEMORY_LIMIT = 3 * 2**30  # of addresses, which threads and libraries take far more of than memory
DECODE_LIMIT = 512 * 2**20
TIMEOUT = 5.0  # seconds; what the processor gives a picture
HANG = 15.0  # seconds; nothing may take that long
PAGE = resource.getpagesize()


@dataclass
class Report:
    """`bad` holds the numbers of files that came to anything but an image or a refusal."""

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    warm_bytes: int = 0
    end_bytes: int = 0


async def judge(processor: VipsProcessor, seed: int, number: int, report: Report) -> None:
    data = mutant(seed, number)
    began = time.monotonic()
    try:
        async with asyncio.timeout(HANG):
            made = await processor.process(data, await processor.inspect(data), RENDITIONS)
        outcome = "stored"
        if not all(picture.data for picture in made.pictures.values()):
            report.bad[number] = "empty"
    except (InvalidRequest, Overloaded) as refused:  # the second from a busy machine
        outcome = type(refused).__name__
        if "decoder fail" in refused.message:  # a crash costs the user one picture, and is ours
            report.bad[number] = refused.message
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        outcome = type(error).__name__
        report.bad[number] = repr(error)
    report.files += 1
    report.outcomes[outcome] += 1
    report.slowest = max(report.slowest, (round(time.monotonic() - began, 2), number))


def memory_in_use(processor: VipsProcessor) -> int:
    """Resident bytes of this process and its children, without what is merely kept for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    processes = ["self", *(str(child.pid) for child in processor._children)]
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in processes) * PAGE


async def run(seed: int, seconds: float, only: int | None) -> Report:
    processor = VipsProcessor(
        limits=PictureLimits(max_decode_bytes=DECODE_LIMIT, timeout=TIMEOUT),
        worker_threads=1,
    )
    report = Report()
    began = time.monotonic()
    for number in itertools.count() if only is None else [only]:
        if only is None and time.monotonic() - began > seconds:
            break
        if not report.warm_bytes and time.monotonic() - began > seconds / 5:
            report.warm_bytes = memory_in_use(processor)
        sys.stderr.write(f"{number}\n")
        await judge(processor, seed, number, report)
    report.end_bytes = memory_in_use(processor)
    processor.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    report = asyncio.run(run(options.seed, options.seconds, options.only))
    sys.stdout.write(json.dumps(vars(report)) + "\n")


if __name__ == "__main__":
    main()
