"""Placeholders while a picture loads: likeness and colour."""

from __future__ import annotations

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat
from tests import pictures

from image_service.pictures import thumbhash
from image_service.pictures.dominant import dominant_color
from image_service.pictures.placeholder import TinyPicture, likeness
from image_service.pictures.plan import Size


def tiny(picture: Image.Image) -> TinyPicture:
    size = Size(*picture.size)
    return TinyPicture(size, picture.convert("RGBA").tobytes(), size)


def decode(code: bytes, size: tuple[int, int]) -> Image.Image:
    """The picture a hash stands for, as its format says; written for this test alone."""
    means, shape = int.from_bytes(code[:3], "little"), int.from_bytes(code[3:5], "little")
    has_alpha, landscape = means >> 23, shape >> 15
    longest, other = (5 if has_alpha else 7), shape & 7
    across, down = (longest, other) if landscape else (other, longest)
    nibbles = [half for byte in code[6 if has_alpha else 5 :] for half in (byte & 15, byte >> 4)]

    def channel(mean: float, scale: float, across: int, down: int) -> list[float]:
        places = [
            (x, y) for y in range(down) for x in range(across) if x * down < across * (down - y)
        ]
        heights = [mean] + [2 * scale * (nibbles.pop(0) / 7.5 - 1) for _ in places[1:]]
        terms = [(x, y, height) for (x, y), height in zip(places, heights, strict=True)]
        return [
            sum(
                term
                * math.cos(math.pi / size[0] * (i + 0.5) * x)
                * math.cos(math.pi / size[1] * (j + 0.5) * y)
                for x, y, term in terms
            )
            for j in range(size[1])
            for i in range(size[0])
        ]

    brightness = channel((means & 63) / 63, (means >> 18 & 31) / 31, max(3, across), max(3, down))
    yellow = channel((means >> 6 & 63) / 31.5 - 1, (shape >> 3 & 63) / 63, 3, 3)
    red = channel((means >> 12 & 63) / 31.5 - 1, (shape >> 9 & 63) / 63, 3, 3)
    alpha = [1.0] * len(red)
    if has_alpha:
        alpha = channel((code[5] & 15) / 15, (code[5] >> 4) / 15, 5, 5)
    pixels = bytearray()
    for light, p, q, a in zip(brightness, yellow, red, alpha, strict=True):
        b = light - 2 / 3 * p
        r = (3 * light - b + q) / 2
        pixels += bytes(min(255, max(0, round(255 * value))) for value in (r, r - q, b, a))
    return Image.frombytes("RGBA", size, bytes(pixels))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(32, 20), (20, 32), (32, 32)])
def test_a_likeness_is_like_its_picture(size: tuple[int, int], mode: str) -> None:
    picture = pictures.scene(320, 320, mode).resize(size, Image.Resampling.BOX).convert("RGBA")
    decoded = decode(base64.b64decode(likeness(tiny(picture))), size)
    mistaken = picture.transpose(Image.Transpose.ROTATE_180)
    assert off(decoded, picture) < 0.7 * off(decoded, mistaken)
    assert (decoded.getextrema()[3] == (255, 255)) == (mode == "RGB")


def off(one: Image.Image, other: Image.Image) -> float:
    """How far apart two pictures are on a grey page, in levels of 255."""
    page = Image.new("RGBA", one.size, (128, 128, 128, 255))
    shown = [Image.alpha_composite(page, picture).convert("RGB") for picture in (one, other)]
    return max(ImageStat.Stat(ImageChops.difference(*shown)).mean)


def test_a_hash_is_what_other_encoders_make_of_it() -> None:
    pixels = bytes(
        255 if channel == 3 else (x**3 * 13 + y * y * 29 + (x + channel) * y * 7) % 256
        for y in range(6)
        for x in range(8)
        for channel in range(4)
    )
    assert (
        thumbhash.encode(Size(8, 6), pixels).hex() == "1f180a158201687d415a765669695585bf2886540f"
    )


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_every_tiny_picture_has_a_short_hash_and_a_colour(
    width: int, height: int, data: st.DataObject
) -> None:
    size = width * height * 4
    pixels = data.draw(st.binary(min_size=size, max_size=size))
    picture = TinyPicture(Size(width, height), pixels, Size(width, height))
    assert 9 <= len(base64.b64decode(likeness(picture))) <= 30
    colour = dominant_color(Image.frombytes("RGBA", (width, height), pixels))
    assert int(colour.removeprefix("#"), 16) <= 0xFFFFFF
    assert len(colour) == 7


@pytest.mark.parametrize(
    ("size", "shown", "across", "down"),
    [
        ((32, 32), (1000, 1000), 7, 7),
        ((32, 2), (8000, 400), 7, 1),  # by its own copy 32 x 2 would do as well
        ((32, 18), (1920, 1080), 7, 4),
        ((32, 9), (1500, 400), 7, 2),
        ((6, 32), (390, 2048), 1, 7),
        ((11, 32), (390, 1100), 2, 7),
    ],
)
def test_a_hash_has_the_shape_of_the_picture(
    size: tuple[int, int], shown: tuple[int, int], across: int, down: int
) -> None:
    picture = pictures.scene(*size).convert("RGBA")
    code = thumbhash.encode(Size(*size), picture.tobytes(), shown=Size(*shown))
    shape = int.from_bytes(code[3:5], "little")
    landscape, other = shape >> 15, shape & 7
    assert ((7, other) if landscape else (other, 7)) == (across, down)


def test_landscape_is_told_by_the_picture_itself() -> None:
    picture = pictures.scene(32, 32).convert("RGBA").tobytes()
    landscape = thumbhash.encode(Size(32, 32), picture, shown=Size(1000, 999))[4] >> 7
    portrait = thumbhash.encode(Size(32, 32), picture, shown=Size(999, 1000))[4] >> 7
    assert (landscape, portrait) == (1, 0)
