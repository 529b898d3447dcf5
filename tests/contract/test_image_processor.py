"""The contract of ImageProcessor; there is one, and no fake: real ones are fast enough."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests import pictures
from tests.golden.comparing import run

from image_service.domain.errors import (
    AnimatedImage,
    InvalidDimensions,
    InvalidFileType,
    InvalidImage,
)
from image_service.domain.pictures import SourceInfo
from image_service.domain.renditions import RENDITIONS, THUMBNAIL
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor
from image_service.ports import ImageProcessor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processor() -> Iterator[ImageProcessor]:
    vips = VipsProcessor(limits=PictureLimits(), worker_threads=2)
    yield vips
    vips.close()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pictures.jpeg(300, 200), SourceInfo("image/jpeg", 300, 200)),
        (pictures.png(300, 200), SourceInfo("image/png", 300, 200)),
        (pictures.webp(300, 200), SourceInfo("image/webp", 300, 200)),
        (pictures.oriented(pictures.scene(300, 200), 6), SourceInfo("image/jpeg", 200, 300)),
        (pictures.oriented(pictures.scene(300, 200), 3), SourceInfo("image/jpeg", 300, 200)),
    ],
    ids=["jpeg", "png", "webp", "sideways", "upside down"],
)
async def test_inspect_tells_type_and_size(
    processor: ImageProcessor, data: bytes, expected: SourceInfo
) -> None:
    assert await processor.inspect(data) == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no picture at all", InvalidFileType),
        (pictures.png(300, 200)[:100], InvalidImage),
        (pictures.animated("WEBP"), AnimatedImage),
        (pictures.animated("PNG"), AnimatedImage),
        (pictures.png_claiming(50_000, 50_000), InvalidDimensions),
        (pictures.png(100, 98), InvalidDimensions),
    ],
    ids=["other type", "cut short", "animated webp", "apng", "too large", "too small"],
)
async def test_inspect_refuses(
    processor: ImageProcessor, data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await processor.inspect(data)


async def test_process_makes_all_that_is_kept(processor: ImageProcessor) -> None:
    data = pictures.jpeg(3000, 2000)
    result = await run(processor, data)
    assert (result.main.width, result.main.height) == (2048, 1365)
    thumbnail = result.pictures[THUMBNAIL]
    assert (thumbnail.width, thumbnail.height) == (400, 400)
    for stored in (result.main, thumbnail):
        assert stored.data[:4] + stored.data[8:12] == b"RIFFWEBP"
    assert 10 <= len(base64.b64decode(result.placeholder, validate=True)) <= 30
    assert re.fullmatch("#[0-9a-f]{6}", result.dominant_color)


async def test_process_refuses_what_is_damaged(processor: ImageProcessor) -> None:
    data = pictures.jpeg(300, 200)
    source = await processor.inspect(data)
    with pytest.raises(InvalidImage):
        await processor.process(data[: len(data) // 2], source, RENDITIONS)


async def test_the_same_file_gives_the_same_result(processor: ImageProcessor) -> None:
    data = pictures.png(400, 300)
    assert await run(processor, data) == await run(processor, data)


async def test_many_at_once_do_not_mix(processor: ImageProcessor) -> None:
    files = [pictures.jpeg(100 + 10 * step, 200) for step in range(12)]
    sources = await asyncio.gather(*map(processor.inspect, files))
    assert [source.width for source in sources] == [100 + 10 * step for step in range(12)]
    together = await asyncio.gather(*(run(processor, data) for data in files))
    alone = [await run(processor, data) for data in files]
    assert together == alone


async def test_a_damaged_file_among_good_ones_fails_alone(processor: ImageProcessor) -> None:
    good = pictures.jpeg(400, 300)
    source = await processor.inspect(good)
    files = [good, good[:5000], good, good[:9000] + b"\xff\xd9", good, good]
    results = await asyncio.gather(
        *(processor.process(data, source, RENDITIONS) for data in files), return_exceptions=True
    )
    assert [isinstance(result, InvalidImage) for result in results] == [
        data is not good for data in files
    ]


async def test_the_loop_turns_while_pictures_are_processed(processor: ImageProcessor) -> None:
    data = pictures.jpeg(3000, 2000)
    source = await processor.inspect(data)
    running = [asyncio.create_task(processor.process(data, source, RENDITIONS)) for _ in range(4)]
    turns = 0
    while not all(task.done() for task in running):
        await asyncio.sleep(0.005)
        turns += 1
    assert turns >= 10
    await asyncio.gather(*running)


async def test_a_cancelled_picture_is_stopped_and_the_next_one_is_not() -> None:
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=1)
    large = pictures.encode(Image.new("RGB", (8000, 8000)), "PNG", compress_level=1)
    small = pictures.png(300, 200)
    await run(processor, small)
    [child] = processor._children
    idle = cpu_ticks(child.pid)
    working = asyncio.create_task(run(processor, large))
    await asyncio.to_thread(wait_until_busy, child.pid, idle)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    with pytest.raises(FileNotFoundError):
        cpu_ticks(child.pid)
    assert (await run(processor, small)).main.width == 300
    processor.close()


def wait_until_busy(pid: int, idle: int) -> None:
    while cpu_ticks(pid) == idle:
        time.sleep(0.005)


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize(
    ("cheap", "dear"),
    [
        (pictures.jpeg(900, 600), pictures.jpeg(900, 600, progressive=True)),
        (
            pictures.jpeg(900, 600, progressive=True, subsampling=2),
            pictures.jpeg(900, 600, progressive=True, subsampling=0),
        ),
        (pictures.png(300, 200), pictures.png_of_pixels(pictures.scene(300, 200), interlaced=True)),
        (
            pictures.png_of_pixels(pictures.scene(300, 200), interlaced=True),
            pictures.png_of_pixels(pictures.scene(300, 200), interlaced=True, deep=True),
        ),
        (pictures.webp(300, 200), pictures.webp(300, 200, lossless=True)),
        (
            pictures.webp(300, 200),
            pictures.encode(pictures.scene(300, 200, "RGBA"), "WEBP"),
        ),
        (pictures.jpeg(300, 200), pictures.jpeg(600, 400)),
    ],
    ids=["progressive", "4:4:4", "interlaced", "16 bits", "lossless", "alpha", "size"],
)
async def test_the_header_tells_what_decoding_costs(
    processor: ImageProcessor, cheap: bytes, dear: bytes
) -> None:
    costs = [(await processor.inspect(data)).decode_bytes for data in (cheap, dear)]
    assert 0 < costs[0] < costs[1]


async def test_what_is_made_is_a_table() -> None:
    main, thumbnail = RENDITIONS[:2]
    specs = [
        replace(main, side=200, quality=30, effort=0),
        replace(thumbnail, side=50, quality=30),
        replace(main, name="w80", side=80),
    ]
    small = VipsProcessor(
        limits=PictureLimits(min_side=10, max_side=500),
        worker_threads=1,
    )
    data = pictures.jpeg(400, 300)
    result = await small.process(data, await small.inspect(data), specs)
    assert {name: (made.width, made.height) for name, made in result.pictures.items()} == {
        "main": (200, 150),
        "thumbnail": (50, 50),
        "w80": (80, 60),
    }
    assert [made.spec for made in result.pictures.values()] == specs
    for made in result.pictures.values():
        assert Image.open(io.BytesIO(made.data)).size == (made.width, made.height)
    with pytest.raises(InvalidDimensions):
        await small.inspect(pictures.jpeg(600, 300))
    small.close()
