"""Small files that would be large in memory, or long at work: refused at once."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib

import pytest
from tests import pictures
from tests.golden.comparing import assert_looks_like, run
from tests.golden.files import SCENE, WHOLE, refuse

from image_service.domain.errors import (
    InvalidDimensions,
)
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.processor import VipsProcessor


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(pictures.png_claiming(60_000, 60_000), (60_000, 60_000), id="png"),
        pytest.param(pictures.png_claiming(2**31 - 1, 2**31 - 1), (2**31 - 1,) * 2, id="huge png"),
        pytest.param(pictures.png_claiming(8001, 100), (8001, 100), id="png too wide"),
        pytest.param(pictures.png_claiming(100, 8001), (100, 8001), id="png too high"),
        pytest.param(pictures.png_claiming(99, 5000), (99, 5000), id="png too narrow"),
        pytest.param(pictures.jpeg_claiming(65_500, 65_500), (65_500, 65_500), id="jpeg"),
        pytest.param(pictures.jpeg_claiming(65_535, 65_535), (65_535, 65_535), id="huge jpeg"),
        pytest.param(pictures.webp_claiming(16_383, 16_383), (16_383, 16_383), id="webp"),
        pytest.param(
            pictures.webp_claiming(16_384, 16_384, lossless=True), (16_384,) * 2, id="lossless"
        ),
        pytest.param(pictures.webp_canvas_claiming(2**24, 255), (2**24, 255), id="webp canvas"),
    ],
)
async def test_size_is_refused_from_the_header(
    processor: VipsProcessor, data: bytes, size: tuple[int, int]
) -> None:
    used = time.process_time()
    with pytest.raises(InvalidDimensions) as refusal:
        await processor.inspect(data)
    assert refusal.value.details["measured"] == {"width": size[0], "height": size[1]}
    assert time.process_time() - used < 1


def test_nothing_is_set_aside_for_them() -> None:
    """In a process of its own, because libvips counts its peak from the start."""
    program = """
import ctypes, _libvips
from image_service.pictures.header import PictureLimits
from image_service.pictures import libvips
from image_service.pictures.header import read_header
from image_service.domain.errors import InvalidDimensions
from tests import pictures
libvips.configure()
for bomb in (
    pictures.png_claiming(60_000, 60_000),
    pictures.jpeg_claiming(65_500, 65_500),
    pictures.webp_claiming(16_383, 16_383),
):
    try:
        read_header(bomb, PictureLimits())
    except InvalidDimensions:
        print("refused", ctypes.CDLL(_libvips.__file__).vips_tracked_get_mem_highwater())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["refused 0"] * 3


async def test_exactly_the_smallest_is_taken(processor: VipsProcessor) -> None:
    assert (await run(processor, pictures.png(100, 100))).main.width == 100
    with pytest.raises(InvalidDimensions):
        await processor.inspect(pictures.png(100, 98))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pictures.jpeg_claiming(8000, 8000), id="jpeg"),
        pytest.param(pictures.webp_claiming(8000, 8000), id="webp"),
        pytest.param(pictures.png_claiming(8000, 8000), id="png"),
        pytest.param(pictures.png_claiming(0, 500), id="no width"),
    ],
)
async def test_a_header_with_hardly_any_pixels_behind_it(
    processor: VipsProcessor, data: bytes
) -> None:
    await refuse(processor, data)


@pytest.mark.slow
async def test_compressed_text_is_not_unpacked(processor: VipsProcessor) -> None:
    header, *rest = pictures.png_chunks(WHOLE["png"])
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    data = pictures.png_of_chunks([header, (b"zTXt", text), *rest])
    assert_looks_like((await run(processor, data)).main, SCENE)


async def test_a_jpeg_of_countless_scans_is_refused(processor: VipsProcessor) -> None:
    data = WHOLE["jpeg progressive"]
    scan = data.index(b"\xff\xda")
    following = data.index(b"\xff\xc4", scan)
    data = data[:scan] + data[scan:following] * 2000 + data[following:]
    await refuse(processor, data)  # and not because it took too long


@pytest.mark.slow
async def test_grey_with_alpha_of_16_bits_costs_no_more_than_colour(
    processor: VipsProcessor,
) -> None:
    """Or the largest, which is sound, would run into the limit of CPU time."""

    async def cpu_seconds(colour_type: int, channels: int) -> float:
        head = struct.pack(">IIBBBBB", 3000, 3000, 16, colour_type, 0, 0, 0)
        rows = zlib.compress(bytes(1 + 3000 * channels * 2) * 3000, 1)
        data = pictures.png_of_chunks([(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")])
        spent: list[float] = []
        await processor.process(data, await processor.inspect(data), RENDITIONS, spent.append)
        return spent[0]

    assert await cpu_seconds(4, 2) < 2 * await cpu_seconds(6, 4)
