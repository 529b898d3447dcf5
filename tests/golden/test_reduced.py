"""Large JPEGs are decoded at a half, a quarter or an eighth of their size.

Here small outputs stand in for large files: what counts is the relation of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image, ImageOps
from tests import pictures
from tests.golden.comparing import assert_looks_like, run
from tests.golden.files import JPEGS, WHOLE, refuse

from image_service.domain.renditions import RENDITIONS, THUMBNAIL
from image_service.pictures.limits import PictureLimits
from image_service.pictures.processor import VipsProcessor

pytestmark = pytest.mark.slow


def processor_for(width: int, reduction: int) -> Iterator[VipsProcessor]:
    """One that has the decoder reduce pictures of `width` so many times."""
    sides = (int(width / reduction * 0.95), width // reduction // 2)
    specs = [replace(spec, side=side) for spec, side in zip(RENDITIONS, sides, strict=True)]
    processor = VipsProcessor(limits=PictureLimits(), renditions=specs, worker_threads=1)
    yield processor
    processor.close()


@pytest.fixture(scope="module", params=[2, 4, 8])
def reducing(request: pytest.FixtureRequest) -> Iterator[VipsProcessor]:
    """For the pictures of WHOLE."""
    yield from processor_for(640, request.param)


@pytest.fixture(scope="module", params=[2, 4, 8])
def reducing_scenes(request: pytest.FixtureRequest) -> Iterator[VipsProcessor]:
    yield from processor_for(1600, request.param)


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("name", JPEGS)
async def test_what_is_cut_short_is_refused(
    reducing: VipsProcessor, name: str, percent: int
) -> None:
    await refuse(reducing, WHOLE[name][: len(WHOLE[name]) * percent // 100])


@pytest.mark.parametrize("percent", [20, 50, 80])
@pytest.mark.parametrize("name", JPEGS)
async def test_a_piece_cut_out_is_refused(reducing: VipsProcessor, name: str, percent: int) -> None:
    data = WHOLE[name]
    start, length = len(data) * percent // 100, len(data) // 20
    await refuse(reducing, data[:start] + data[start + length :])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1600, 1000), (1599, 1001), (1501, 1583)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
async def test_it_shows_the_same(
    reducing_scenes: VipsProcessor, size: tuple[int, int], subsampling: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = pictures.scene(*size)
    data = pictures.encode(scene, "JPEG", quality=95, subsampling=subsampling, exif=exif)
    scene.info["exif"] = exif.tobytes()
    scene.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(scene)
    made = await run(reducing_scenes, data)
    assert_looks_like(made.main, upright.resize((made.main.width, made.main.height)))
    thumbnail = made.pictures[THUMBNAIL]
    size = (thumbnail.width, thumbnail.height)
    assert_looks_like(thumbnail, ImageOps.fit(upright, size))
