"""Pictures by width: of each shape those that are wanted, and each shows the whole picture."""

from __future__ import annotations

import io

import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps
from tests import pictures
from tests.golden.comparing import assert_looks_like, opened, run

from image_service.domain.pictures import ProcessedImage
from image_service.domain.renditions import MAIN, THUMBNAIL, table
from image_service.pictures.processor import VipsProcessor

Sizes = dict[str, tuple[int, int]]


def by_width(made: ProcessedImage) -> Sizes:
    return {
        name: (picture.width, picture.height)
        for name, picture in made.pictures.items()
        if name not in {MAIN, THUMBNAIL}
    }


def assert_all_look_like(made: ProcessedImage, expected: Image.Image) -> None:
    for name, size in by_width(made).items():
        scaled = expected.resize(size, Image.Resampling.LANCZOS)
        assert_looks_like(made.pictures[name], scaled)
    assert_looks_like(made.main, expected.resize(opened(made.main).size, Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 100), {}),
        ((320, 240), {}),
        ((321, 240), {}),
        ((352, 264), {}),
        ((353, 264), {"w320": (320, 239)}),
        ((704, 120), {"w320": (320, 55)}),
        ((705, 120), {"w320": (320, 54), "w640": (640, 109)}),
        ((100, 3000), {}),
        pytest.param(
            (2048, 1536),
            {"w320": (320, 240), "w640": (640, 480), "w1280": (1280, 960)},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (8000, 1000),  # the thumbnail is made before the main picture
            {"w320": (320, 40), "w640": (640, 80), "w1280": (1280, 160)},
            marks=pytest.mark.slow,
        ),
        pytest.param((1000, 5000), {"w320": (320, 1600)}, marks=pytest.mark.slow),
        pytest.param((450, 6000), {}, marks=pytest.mark.slow),
    ],
)
async def test_shapes(processor: VipsProcessor, size: tuple[int, int], expected: Sizes) -> None:
    picture = pictures.scene(*size)
    made = await run(processor, pictures.encode(picture, "JPEG", quality=95))
    assert by_width(made) == expected
    assert_all_look_like(made, picture)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
async def test_alpha_is_kept(processor: VipsProcessor, file_format: str) -> None:
    picture = pictures.scene(720, 120, "RGBA")
    made = await run(processor, pictures.encode(picture, file_format, lossless=True))
    assert by_width(made) == {"w320": (320, 53), "w640": (640, 107)}
    assert_all_look_like(made, picture)


async def test_colours_are_those_of_the_profile(processor: VipsProcessor) -> None:
    press: bytes = pyvips.Operation.call("profile_load", "cmyk")
    data = pictures.encode(pictures.scene(720, 120, "CMYK"), "JPEG", quality=95, icc_profile=press)
    seen = ImageCms.profileToProfile(
        Image.open(io.BytesIO(data)),
        ImageCms.ImageCmsProfile(io.BytesIO(press)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert_all_look_like(await run(processor, data), seen)


@pytest.mark.parametrize("orientation", [3, 6, 7])
async def test_orientation_is_applied(processor: VipsProcessor, orientation: int) -> None:
    data = pictures.oriented(pictures.scene(720, 360), orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    made = await run(processor, data)
    assert "w320" in by_width(made)
    assert ("w640" in by_width(made)) == (orientation == 3)
    assert_all_look_like(made, upright)


@pytest.mark.slow
async def test_many_widths_stay_sharp(processor: VipsProcessor) -> None:
    """The smallest is made from the one before it, and so on up to the picture itself."""
    picture = pictures.textured(900, 600)
    made = await run(
        processor,
        pictures.encode(picture, "PNG"),
        table([100, 200, 300, 400, 500, 600, 700, 800]),
    )
    assert len(by_width(made)) == 8
    assert_all_look_like(made, picture)
