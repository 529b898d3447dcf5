"""Large JPEGs are decoded at a half, a quarter or an eighth of their size.

Here small outputs stand in for large files: what counts is the relation of the two.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image, ImageOps
from tests import pictures
from tests.golden.comparing import assert_looks_like, run
from tests.golden.files import JPEGS, WHOLE, refuse

from image_service.domain.renditions import RENDITIONS, THUMBNAIL, RenditionSpec
from image_service.pictures.processor import VipsProcessor

pytestmark = pytest.mark.slow


def reducing(width: int, times: int) -> list[RenditionSpec]:
    """A table for which the decoder reduces pictures of `width` so many times."""
    sides = (int(width / times * 0.95), width // times // 2)
    return [replace(spec, side=side) for spec, side in zip(RENDITIONS, sides, strict=False)]


REDUCING = pytest.mark.parametrize("times", [2, 4, 8])


@REDUCING
@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("name", JPEGS)
async def test_what_is_cut_short_is_refused(
    processor: VipsProcessor, name: str, percent: int, times: int
) -> None:
    cut = WHOLE[name][: len(WHOLE[name]) * percent // 100]
    await refuse(processor, cut, reducing(640, times))


@REDUCING
@pytest.mark.parametrize("percent", [20, 50, 80])
@pytest.mark.parametrize("name", JPEGS)
async def test_a_piece_cut_out_is_refused(
    processor: VipsProcessor, name: str, percent: int, times: int
) -> None:
    data = WHOLE[name]
    start, length = len(data) * percent // 100, len(data) // 20
    await refuse(processor, data[:start] + data[start + length :], reducing(640, times))


@REDUCING
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1600, 1000), (1599, 1001), (1501, 1583)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
async def test_it_shows_the_same(
    processor: VipsProcessor,
    size: tuple[int, int],
    subsampling: str,
    orientation: int,
    times: int,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = pictures.scene(*size)
    data = pictures.encode(scene, "JPEG", quality=95, subsampling=subsampling, exif=exif)
    scene.info["exif"] = exif.tobytes()
    scene.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(scene)
    made = await run(processor, data, reducing(1600, times))
    assert_looks_like(made.main, upright.resize((made.main.width, made.main.height)))
    thumbnail = made.pictures[THUMBNAIL]
    size = (thumbnail.width, thumbnail.height)
    assert_looks_like(thumbnail, ImageOps.fit(upright, size))
