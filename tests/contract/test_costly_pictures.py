"""Costly files: each is answered within its CPU, as an image or a refusal of that file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests import costly, pictures
from tests.golden.comparing import run

from image_service.domain.errors import InvalidRequest
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor

pytestmark = pytest.mark.slow

CPU_SECONDS = 8
# What bounds from the header make of it, in seconds of CPU on any machine: far below the limit.
CHEAP = 2.0
DEAR = {
    "jpeg, few scans without data",
    "jpeg, restarts without data",
    "png, largest of 16 bits",
    "png, largest grey with alpha",
    "webp, largest of one colour",
    "webp, largest with alpha",
}


@pytest.fixture(scope="module")
async def processor() -> AsyncIterator[VipsProcessor]:
    processor = VipsProcessor(
        # The CPU decides, on a busy machine, too.
        limits=PictureLimits(cpu_seconds=CPU_SECONDS, timeout=100),
        worker_threads=2,
    )
    await processor.start()
    yield processor
    processor.close()


@pytest.mark.parametrize("name", costly.FILES)
async def test_a_costly_file_is_answered_within_its_cpu(
    processor: VipsProcessor, name: str
) -> None:
    data = await asyncio.to_thread(costly.FILES[name])
    small = pictures.jpeg(300, 200)
    spent: list[float] = []

    async def other() -> int:
        return (await run(processor, small)).main.width

    async def attack() -> None:
        try:
            source = await processor.inspect(data)
            await processor.process(data, source, RENDITIONS, spent.append)
        except InvalidRequest:
            pass

    attacking = asyncio.create_task(attack())
    beside = [await other()]
    while not attacking.done():
        beside.append(await other())
    await attacking
    assert set(beside) == {300}
    assert sum(spent) <= (CPU_SECONDS + 1 if name in DEAR else CHEAP)
