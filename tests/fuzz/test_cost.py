"""A search for files that cost more CPU than their headers tell: the costliest are bred on."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Iterator

import pytest
from tests import costly
from tests.fuzz.mutations import corpus, mutated

from image_service.domain.errors import InvalidRequest
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor

CPU_SECONDS = 8
PARENTS = 24
# What admission reckons with: a second for each 200 MB, and as much again for small things.
BYTES_A_SECOND = 200 * 2**20
FREE = 0.5  # seconds
# How many times what its header tells a file may cost; encoders alone vary by a few.
EXCESS = 6.0
SCRAP = 2_000  # bytes; no picture of the corpus is much smaller


@pytest.fixture
def processor() -> Iterator[VipsProcessor]:
    processor = VipsProcessor(
        limits=PictureLimits(cpu_seconds=CPU_SECONDS, max_decode_bytes=512 * 2**20, timeout=60),
        worker_threads=1,
    )
    yield processor
    processor.close()


@pytest.mark.timeout(0)
async def test_no_mutant_costs_far_more_than_its_header_tells(
    processor: VipsProcessor, seed: int, seconds: float, capsys: pytest.CaptureFixture[str]
):
    dice = random.Random(seed)
    small = [make() for name, make in costly.FILES.items() if "largest" not in name]
    first = (*corpus(), *small)
    bred: list[tuple[float, int, bytes]] = []
    began, files, worst = time.monotonic(), 0, (0.0, 0.0, 0.0)
    while time.monotonic() - began < seconds:
        data = dice.choice(bred)[2] if bred and dice.random() < 0.5 else dice.choice(first)
        for _ in range(dice.randint(1, 3)):
            data = mutated(dice, data)[: 2**20]
        told, cost = await _cost(processor, data)
        files += 1
        assert cost <= CPU_SECONDS + 1, (
            f"seed {seed}: a file of {len(data)} bytes took {cost:.1f} s"
        )
        excess = cost / (FREE + told)
        assert excess <= EXCESS, (
            f"seed {seed}: {len(data)} bytes took {cost:.1f} s; told {told:.1f}"
        )
        worst = max(worst, (round(excess, 2), round(cost, 2), round(told, 2)))
        # By CPU for each byte: a small file that costs little is nearer to one that costs much;
        # but scraps, which cost a header's reading alone, must not outdo all pictures.
        heapq.heappush(bred, (cost / (SCRAP + len(data)), files, data))
        if len(bred) > PARENTS:
            heapq.heappop(bred)
    with capsys.disabled():
        print(f"\nseed {seed}: {files} files; worst (times told, s, told s): {worst}", end=" ")  # noqa: T201 - the figures of the run
    assert files >= 20


async def _cost(processor: VipsProcessor, data: bytes) -> tuple[float, float]:
    """Seconds by the header, and of CPU."""
    spent: list[float] = []
    told = 0.0
    used = time.process_time()
    try:
        source = await processor.inspect(data)
        told = source.decode_bytes / BYTES_A_SECOND
        await processor.process(data, source, RENDITIONS, spent.append)
    except InvalidRequest:
        pass
    await asyncio.sleep(0)
    return told, sum(spent) + time.process_time() - used
