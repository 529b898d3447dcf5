"""The steps of processing, each a function of a picture; and what runs them in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.adapters.vips.geometry import Size
from image_service.adapters.vips.placeholder import TinyPicture
from image_service.domain.errors import ProcessingFailed
from image_service.ports import EncodedPicture

P = ParamSpec("P")
T = TypeVar("T")

_TINY_BOX: Final = 32  # ThumbHash keeps 7 waves a side: more pixels cost time and add nothing
_BANDS_WITH_ALPHA: Final = 4


class Steps:
    """Runs one step after the other, until `timeout` from now are over."""

    def __init__(self, timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + timeout

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `step` returns. Raises ProcessingFailed past the deadline or if libvips fails.

        A step that runs is not interrupted.
        """
        if self._clock() > self._end:
            raise ProcessingFailed(
                "The image took too long to process; nothing was stored. "
                "Scale it down or save it in another format, and retry."
            )
        try:
            return step(*args, **kwargs)
        except pyvips.Error as error:
            raise ProcessingFailed from error


def fit(picture: pyvips.Image, size: Size) -> pyvips.Image:
    """`picture` scaled to exactly `size`."""
    if (picture.width, picture.height) == size:
        return picture
    return picture.thumbnail_image(size.width, height=size.height, size="force")


def cover(picture: pyvips.Image, side: int) -> pyvips.Image:
    """The middle of `picture` as a square of `side`, which is at most its short side."""
    return picture.thumbnail_image(side, height=side, crop="centre")


def encode(picture: pyvips.Image, quality: int, effort: int) -> EncodedPicture:
    """`picture` as WebP, without any metadata."""
    data = picture.webpsave_buffer(Q=quality, effort=effort, keep="none")
    return EncodedPicture(data=data, width=picture.width, height=picture.height)


def shrink_to_tiny(picture: pyvips.Image) -> TinyPicture:
    """A copy of a few hundred pixels, for what is computed in Python."""
    tiny = picture.thumbnail_image(_TINY_BOX, height=_TINY_BOX, size="down")
    if tiny.bands < _BANDS_WITH_ALPHA:
        tiny = tiny.bandjoin(255)
    return TinyPicture(Size(tiny.width, tiny.height), bytes(tiny.write_to_memory()))
