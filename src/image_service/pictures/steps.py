"""The steps of processing, each a function of a picture; and what runs and times them."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import ProcessingFailed
from image_service.pictures.placeholder import TinyPicture
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster

P = ParamSpec("P")
T = TypeVar("T")

_TINY_BOX: Final = 32  # ThumbHash keeps 7 waves a side: more pixels cost time and add nothing
_BANDS_WITH_ALPHA: Final = 4


class Steps:
    """Runs one step after the other, and keeps how long each took, in seconds, by its name."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns what `step` returns. Raises ProcessingFailed if libvips fails."""
        started = perf_counter()
        try:
            return step(*args, **kwargs)
        except pyvips.Error as error:
            raise ProcessingFailed from error
        finally:
            self.times.append((step.__name__, perf_counter() - started))


def fit(raster: Raster, size: Size) -> Raster:
    """`raster` scaled to exactly `size`."""
    if raster.size == size:
        return raster
    return Raster.compute(_scaled(raster, size))


def cut_square(raster: Raster) -> Raster:
    """Returns the middle of `raster`, as wide as high."""
    side = min(raster.size)
    left, top = (raster.size.width - side) // 2, (raster.size.height - side) // 2
    return Raster.compute(raster.in_vips().crop(left, top, side, side))


def shrink_to_tiny(raster: Raster, shown: Size) -> TinyPicture:
    """A copy of a few hundred pixels, of a picture of size `shown`, for the ThumbHash."""
    tiny = fit(raster, raster.size.scaled(min(1.0, _TINY_BOX / max(raster.size))))
    return TinyPicture(tiny.size, bytes(tiny.pixels), shown)


def _scaled(raster: Raster, size: Size) -> pyvips.Image:
    picture = raster.in_vips()
    if raster.has_alpha:  # to be multiplied into the colours before, and out of them after
        return picture.thumbnail_image(size.width, height=size.height, size="force")
    return picture.resize(size.width / picture.width, vscale=size.height / picture.height)
