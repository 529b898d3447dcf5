"""Computed pixels, in memory that libvips and Pillow both read without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed
from PIL import Image

from image_service.pictures.plan import Size

_BANDS: Final = 4
_OPAQUE: Final = 255


@dataclass(frozen=True, slots=True)
class Raster:
    """Upright 8-bit sRGB, row by row, 4 bytes a pixel: the last is alpha, or 255 without.

    Always 4, because that is how Pillow keeps pixels: it would unpack 3 into 4 first.
    """

    size: Size
    has_alpha: bool
    pixels: memoryview

    @classmethod
    def compute(cls, picture: pyvips.Image) -> Self:
        """The pixels of `picture`, which has 3 or 4 bands."""
        has_alpha = picture.bands == _BANDS
        four = picture if has_alpha else picture.bandjoin(_OPAQUE)
        pixels = memoryview(four.write_to_memory())
        return cls(Size(four.width, four.height), has_alpha, pixels)

    def in_vips(self) -> pyvips.Image:
        """Of 4 bands, also where there is no alpha."""
        picture = pyvips.Image.new_from_memory(self.pixels, *self.size, _BANDS, "uchar")
        return picture.copy(interpretation="srgb")

    def in_pillow(self) -> Image.Image:
        mode = "RGBA" if self.has_alpha else "RGBX"
        data: Any = self.pixels  # any buffer does, whatever the annotation says
        return Image.frombuffer(mode, self.size, data, "raw", mode, 0, 1)
