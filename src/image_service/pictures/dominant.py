"""Dominant colour of a picture: one that it has a lot of, and no blend of two."""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from itertools import product
from math import sqrt
from typing import Final, TypeAlias, cast

from PIL import Image, ImageChops

_MOST_PIXELS: Final = 160 * 160
_TRANSPARENT: Final = "#ffffff"  # nothing to see: the page's own colour, most often
_COARSE, _FINE = 16, 8  # levels of a channel in a bin
_OPACITIES: Final = 85  # levels of alpha that count alike: 0, 1, 2 or 3 times
_CANDIDATES: Final = 24

_Bin: TypeAlias = tuple[int, int, int]
_Binned: TypeAlias = tuple[int, int, int, int]  # with the opacity


def dominant_color(picture: Image.Image) -> str:
    """The colour that most pixels of a `picture` (RGBA, or RGBX with 255) have, as `#rrggbb`.

    Pixels are counted as they are: a smaller copy would have colours between those of the
    picture. They are sorted into bins; neighbours are joined, first of 16 levels a channel to
    find what most of the picture is like, then of 8 to find its most common shade, whose mean
    is the result. A pixel counts for as much as it is opaque.
    """
    shrink = sqrt(_MOST_PIXELS / (picture.width * picture.height))
    if shrink < 1:
        width, height = (max(1, int(side * shrink)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    for levels in (_COARSE, _FINE):
        bins = _counted(picture, levels)
        if not bins:
            return _TRANSPARENT
        picture = _only(picture, _fullest(bins), levels)
    return "#" + "".join(f"{channel:02x}" for channel in _mean(picture))


def _counted(picture: Image.Image, levels: int) -> Counter[_Bin]:
    colours = [level // levels for level in range(256)]
    opacities = [round(level / _OPACITIES) for level in range(256)]
    binned = picture.point(colours * 3 + opacities).getcolors(_MOST_PIXELS)
    bins: Counter[_Bin] = Counter()
    for count, (red, green, blue, opacity) in cast("list[tuple[int, _Binned]]", binned):
        if opacity:
            bins[red, green, blue] += count * opacity
    return bins


def _fullest(bins: Counter[_Bin]) -> _Bin:
    """Of the fullest bins the one that has most in it and its neighbours."""

    def joined(at: _Bin) -> int:
        red, green, blue = (range(channel - 1, channel + 2) for channel in at)
        return sum(bins[near] for near in product(red, green, blue))

    return max(nlargest(_CANDIDATES, bins, key=bins.__getitem__), key=joined)


def _only(picture: Image.Image, at: _Bin, levels: int) -> Image.Image:
    """`picture`, transparent but for what is in that bin and its neighbours."""
    *colours, alpha = picture.split()
    for band, channel in zip(colours, at, strict=True):
        inside = [255 * (abs(level // levels - channel) <= 1) for level in range(256)]
        alpha = ImageChops.darker(alpha, band.point(inside))
    return Image.merge("RGBA", (*colours, alpha))


def _mean(picture: Image.Image) -> list[int]:
    """Of the pixels that are not transparent."""
    *colours, alpha = picture.split()
    visible = alpha.point([255 * (round(level / _OPACITIES) > 0) for level in range(256)])
    means = []
    for band in colours:
        histogram = band.histogram(visible)
        total = sum(level * count for level, count in enumerate(histogram))
        means.append(round(total / sum(histogram)))
    return means
