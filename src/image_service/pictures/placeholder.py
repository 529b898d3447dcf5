"""Placeholders for a page whose picture is still loading: a ThumbHash and one colour."""

from __future__ import annotations

import base64
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from image_service.pictures import thumbhash
from image_service.pictures.plan import Size

_BIN_BITS: Final = 3  # a channel; 512 bins over all three
_TRANSPARENT: Final = "#ffffff"  # nothing to see: the page's own colour, most often


@dataclass(frozen=True, slots=True)
class TinyPicture:
    """A few hundred `pixels`: RGBA, 8 bits each, row by row."""

    size: Size
    pixels: bytes


def likeness(tiny: TinyPicture) -> str:
    """The ThumbHash of `tiny` in base64."""
    return base64.b64encode(thumbhash.encode(tiny.size, tiny.pixels)).decode()


def dominant_color(tiny: TinyPicture) -> str:
    """The most common colour of `tiny` as `#rrggbb`.

    Pixels are sorted into 512 bins by the upper bits of their channels; the mean of the
    fullest bin is the answer. A pixel counts for as much as it is opaque.
    """
    bins: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    shift = 8 - _BIN_BITS
    channels = (tiny.pixels[channel::4] for channel in range(4))
    for red, green, blue, alpha in zip(*channels, strict=True):
        sums = bins[red >> shift, green >> shift, blue >> shift]
        sums[0] += alpha
        sums[1] += red * alpha
        sums[2] += green * alpha
        sums[3] += blue * alpha
    weight, *colour = max(bins.values())
    if weight == 0:
        return _TRANSPARENT
    return "#" + "".join(f"{round(channel / weight):02x}" for channel in colour)
