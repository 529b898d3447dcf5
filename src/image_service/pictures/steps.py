"""The steps of processing, each a function of a picture; and what runs and stops them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, Self, TypeVar

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import ProcessingFailed
from image_service.pictures.placeholder import TinyPicture
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster, Stoppable

P = ParamSpec("P")
T = TypeVar("T")

_TINY_BOX: Final = 32  # ThumbHash keeps 7 waves a side: more pixels cost time and add nothing
_BANDS_WITH_ALPHA: Final = 4


class Stopped(Exception):
    """The picture was given up while it was being computed."""


class Steps:
    """Runs one step after the other, until `timeout` seconds from entering it are over.

    `stop` may be called from any thread; so does the clock. libvips then gives up the
    picture it is computing at its next row of tiles. It can't interrupt a decoder that
    needs the whole picture before it has the first row: that takes at most 2 s for the
    largest ones (Adam7 PNG of 16 bits, JPEG of several scans, lossless WebP); nor can the
    WebP encoder be interrupted, which takes at most 0.8 s (noise of 2048 x 2048, with alpha).
    """

    def __init__(self, timeout: float) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._computed: pyvips.Image | None = None
        self._clock = threading.Timer(timeout, self.stop)
        self._clock.daemon = True

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._clock.cancel()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._computed is not None:
                self._computed.set_kill(True)

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `step` returns. Raises ProcessingFailed once stopped, or if libvips fails."""
        try:
            self._check()
            return step(*args, **kwargs)
        except Stopped as stopped:
            raise ProcessingFailed(
                "The image took too long to process; nothing was stored. "
                "Scale it down or save it in another format, and retry."
            ) from stopped
        except pyvips.Error as error:
            raise ProcessingFailed from error

    @contextmanager
    def stoppable(self, picture: pyvips.Image) -> Iterator[None]:
        """Around what computes the pixels of `picture`. Raises Stopped, or pyvips.Error."""
        with self._lock:
            self._computed = picture
        try:
            self._check()
            yield
        except pyvips.Error:
            self._check()  # libvips says of a killed picture only that it failed
            raise
        finally:
            with self._lock:
                self._computed = None

    def _check(self) -> None:
        if self._stopped:
            raise Stopped


def fit(raster: Raster, size: Size, stoppable: Stoppable) -> Raster:
    """`raster` scaled to exactly `size`."""
    if raster.size == size:
        return raster
    return Raster.compute(_scaled(raster, size), stoppable)


def cut_square(raster: Raster, side: int, stoppable: Stoppable) -> Raster:
    """The middle of `raster`, `side` pixels wide and high."""
    left, top = (raster.size.width - side) // 2, (raster.size.height - side) // 2
    return Raster.compute(raster.in_vips().crop(left, top, side, side), stoppable)


def shrink_to_tiny(raster: Raster, stoppable: Stoppable) -> TinyPicture:
    """A copy of a few hundred pixels, for what is computed in Python."""
    tiny = fit(raster, raster.size.scaled(min(1.0, _TINY_BOX / max(raster.size))), stoppable)
    return TinyPicture(tiny.size, bytes(tiny.pixels))


def _scaled(raster: Raster, size: Size) -> pyvips.Image:
    picture = raster.in_vips()
    if raster.has_alpha:  # to be multiplied into the colours before, and out of them after
        return picture.thumbnail_image(size.width, height=size.height, size="force")
    return picture.resize(size.width / picture.width, vscale=size.height / picture.height)
