"""Likeness of a picture for a page while it loads: a ThumbHash."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from image_service.pictures import thumbhash
from image_service.pictures.plan import Size


@dataclass(frozen=True, slots=True)
class TinyPicture:
    """A few hundred `pixels`: RGBA, 8 bits each, row by row; and the size of what it shows."""

    size: Size
    pixels: bytes
    shown: Size


def likeness(tiny: TinyPicture) -> str:
    """The ThumbHash of `tiny` in base64."""
    return base64.b64encode(thumbhash.encode(tiny.size, tiny.pixels, shown=tiny.shown)).decode()
