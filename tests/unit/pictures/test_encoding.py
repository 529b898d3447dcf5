"""Encoding of computed pixels into a file."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import pyvips
from PIL import Image

from image_service.domain.errors import ProcessingFailed
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.encoding import encode
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster

SPEC = RENDITIONS[0]
COLOUR = [10, 200, 90]
SIZE = Size(30, 20)


def raster(colour: list[int], size: Size = SIZE) -> Raster:
    picture = (pyvips.Image.black(*size) + colour).cast("uchar").copy(interpretation="srgb")
    return Raster.compute(picture)


@pytest.mark.parametrize(
    ("colour", "mode"), [(COLOUR, "RGB"), ([*COLOUR, 255], "RGB"), ([*COLOUR, 128], "RGBA")]
)
def test_pixels_come_through_and_alpha_only_where_there_is_any(
    colour: list[int], mode: str
) -> None:
    made = encode(raster(colour), replace(SPEC, quality=100))
    image = Image.open(io.BytesIO(made.data))
    assert (image.format, image.mode, image.size) == ("WEBP", mode, SIZE)
    assert (made.width, made.height) == SIZE
    for found, wanted in zip(image.getpixel((15, 10)), colour, strict=False):
        assert abs(found - wanted) <= 3


def test_the_file_is_what_libvips_would_write() -> None:
    noise = pyvips.Image.gaussnoise(300, 200, mean=128, sigma=40, seed=1)
    picture = noise.bandjoin([noise, noise]).cast("uchar").copy(interpretation="srgb")
    made = encode(Raster.compute(picture), SPEC)
    assert made.data == picture.webpsave_buffer(Q=85, effort=2, keep="none")


def test_what_webp_cannot_hold_is_a_failure_of_ours() -> None:
    with pytest.raises(ProcessingFailed):
        encode(raster(COLOUR, Size(16_384, 1)), SPEC)
