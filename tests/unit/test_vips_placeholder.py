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
from image_service.pictures.placeholder import TinyPicture, dominant_color, likeness
from image_service.pictures.plan import Size


def tiny(picture: Image.Image) -> TinyPicture:
    return TinyPicture(Size(*picture.size), picture.convert("RGBA").tobytes())


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
    picture = TinyPicture(Size(width, height), data.draw(st.binary(min_size=size, max_size=size)))
    assert 9 <= len(base64.b64decode(likeness(picture))) <= 30
    assert int(dominant_color(picture).removeprefix("#"), 16) <= 0xFFFFFF
    assert len(dominant_color(picture)) == 7


def test_the_dominant_colour_is_that_of_most_pixels() -> None:
    picture = Image.new("RGB", (30, 30), (200, 30, 40))
    picture.paste((10, 20, 250), (0, 0, 30, 12))
    assert dominant_color(tiny(picture)) == "#c81e28"


def test_near_colours_count_as_one_and_are_averaged() -> None:
    picture = Image.new("RGB", (30, 30), (0, 0, 0))
    picture.paste((100, 100, 100), (0, 0, 30, 10))
    picture.paste((104, 108, 100), (0, 10, 30, 20))
    assert dominant_color(tiny(picture)) == "#666864"


def test_what_is_transparent_does_not_count() -> None:
    picture = Image.new("RGBA", (30, 30), (200, 30, 40, 0))
    picture.paste((10, 20, 250, 255), (0, 0, 30, 5))
    assert dominant_color(tiny(picture)) == "#0a14fa"
    assert dominant_color(tiny(Image.new("RGBA", (3, 3), (9, 9, 9, 0)))) == "#ffffff"
