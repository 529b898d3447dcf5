"""Dominant colours: one that the picture has a lot of, never a blend."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw
from tests import pictures

from image_service.pictures.dominant import dominant_color

RED, BLUE, WHITE, BLACK = (200, 30, 40), (10, 20, 250), (255, 255, 255), (0, 0, 0)


def rgba(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA")


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def drawn(
    size: tuple[int, int],
    ground: tuple[int, ...],
    colour: tuple[int, ...],
    has_colour: Callable[[int, int], bool],
) -> Image.Image:
    picture = Image.new("RGB", size, ground)
    pixels = picture.load()
    for x in range(size[0]):
        for y in range(size[1]):
            if has_colour(x, y):
                pixels[x, y] = colour
    return picture


@pytest.mark.parametrize(
    "has_blue",
    [
        pytest.param(lambda x, _: x % 5 < 2, id="thin stripes"),
        pytest.param(lambda x, y: (x * 2 + y) % 5 < 2, id="a dither"),
        pytest.param(lambda x, y: (x // 3 + y // 3) % 2 and x % 7 < 5, id="a check"),
        pytest.param(lambda x, y: x % 4 == 0 or y % 4 == 0, id="a grid"),
        pytest.param(lambda _, y: y < 120, id="halves"),
    ],
)
@pytest.mark.parametrize("size", [(300, 300), (400, 1200), (37, 300)])
def test_of_two_colours_it_is_one_that_there_is_much_of(
    size: tuple[int, int], has_blue: Callable[[int, int], bool]
) -> None:
    picture = drawn(size, RED, BLUE, has_blue)
    shares = {colour: count / (size[0] * size[1]) for count, colour in picture.getcolors()}
    assert shares.get(rgb(dominant_color(rgba(picture))), 0) > 0.35


def test_near_colours_count_as_one_and_are_averaged() -> None:
    picture = Image.new("RGB", (30, 30), BLACK)
    picture.paste((100, 100, 100), (0, 0, 30, 10))
    picture.paste((104, 108, 100), (0, 10, 30, 20))
    assert dominant_color(rgba(picture)) == "#666864"


@pytest.mark.parametrize("level", range(120, 137))
def test_no_border_of_bins_parts_a_colour_in_two(level: int) -> None:
    """Grain around a colour is one colour, wherever the bins happen to end."""
    noise = random.Random(level)
    picture = Image.new("RGB", (100, 100), WHITE)
    grain = Image.new("RGB", (100, 60))
    grain.putdata([tuple(level + noise.randint(-7, 7) for _ in "RGB") for _ in range(6_000)])
    picture.paste(grain, (0, 0))
    assert rgb(dominant_color(rgba(picture))) == pytest.approx((level,) * 3, abs=4)


def test_a_wide_sky_counts_for_more_than_a_flat_border() -> None:
    picture = Image.new("RGB", (100, 100), BLACK)
    for y in range(80):
        ImageDraw.Draw(picture).line((0, y, 100, y), fill=(90 + y // 2, 140 + y // 2, 220))
    red, green, blue = rgb(dominant_color(rgba(picture)))
    assert 90 <= red <= 130
    assert 140 <= green <= 180
    assert blue == 220


def test_what_is_transparent_does_not_count() -> None:
    picture = Image.new("RGBA", (30, 30), (*RED, 0))
    picture.paste((*BLUE, 255), (0, 0, 30, 5))
    assert dominant_color(picture) == "#0a14fa"
    assert dominant_color(Image.new("RGBA", (3, 3), (9, 9, 9, 0))) == "#ffffff"


def test_a_pixel_counts_for_as_much_as_it_is_opaque() -> None:
    picture = Image.new("RGBA", (30, 30), (*RED, 90))
    picture.paste((*BLUE, 255), (0, 0, 30, 12))
    assert dominant_color(picture) == "#0a14fa"


@pytest.mark.parametrize("mode", ["RGBA", "RGBX"])
def test_it_is_a_colour_that_is_there(mode: str) -> None:
    picture = pictures.scene(640, 400).convert("RGB").convert(mode)
    found = rgb(dominant_color(picture))
    near = sum(
        count
        for count, colour in picture.getcolors(10**6)
        if all(abs(a - b) <= 16 for a, b in zip(colour, found, strict=False))
    )
    assert near > 0.08 * 640 * 400
