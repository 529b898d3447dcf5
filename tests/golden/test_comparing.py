"""The comparison itself: it must see what a person would see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance
from tests import pictures
from tests.golden.comparing import assert_looks_like

from image_service.domain.pictures import EncodedPicture
from image_service.domain.renditions import RENDITIONS

SCENE = pictures.scene()


def half_grey(picture: Image.Image) -> Image.Image:
    grey = picture.copy()
    box = (0, picture.height * 9 // 10, picture.width, picture.height)
    ImageDraw.Draw(grey).rectangle(box, fill=(128, 128, 128))
    return grey


def as_stored(picture: Image.Image) -> EncodedPicture:
    spec = RENDITIONS[0]
    data = pictures.encode(picture, "WEBP", quality=spec.quality)
    return EncodedPicture(spec, data, picture.width, picture.height)


def test_a_faithful_picture_passes() -> None:
    assert_looks_like(as_stored(SCENE), SCENE)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT), id="mirrored"),
        pytest.param(lambda p: p.transpose(Image.Transpose.ROTATE_180), id="upside down"),
        pytest.param(half_grey, id="the last tenth grey"),
        pytest.param(lambda p: ImageChops.offset(p, 8, 0), id="8 pixels aside"),
        pytest.param(lambda p: ImageEnhance.Color(p).enhance(0.7), id="paler"),
        pytest.param(lambda p: ImageEnhance.Brightness(p).enhance(0.92), id="darker"),
        pytest.param(lambda p: Image.merge("RGB", p.split()[::-1]), id="red for blue"),
        pytest.param(ImageChops.invert, id="inverted"),
    ],
)
def test_a_spoiled_one_does_not(spoil: Callable[[Image.Image], Image.Image]) -> None:
    with pytest.raises(AssertionError, match="off by"):
        assert_looks_like(as_stored(spoil(SCENE)), SCENE)
