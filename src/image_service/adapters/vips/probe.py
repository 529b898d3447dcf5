"""What a file is and measures, before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from image_service.adapters.vips import jpeg, png, webp
from image_service.adapters.vips.decoding import oriented_size
from image_service.adapters.vips.geometry import Size
from image_service.adapters.vips.options import PictureLimits
from image_service.adapters.vips.signatures import detect
from image_service.domain.errors import AnimatedImage, InvalidImage
from image_service.ports import MimeType, SourceInfo


@dataclass(frozen=True, slots=True)
class _Format:
    declared_size: Callable[[bytes], Size | None]
    is_animated: Callable[[bytes], bool] = lambda _: False
    is_whole: Callable[[bytes], bool] = lambda _: True


_FORMATS: Final[dict[MimeType, _Format]] = {
    "image/jpeg": _Format(jpeg.declared_size),
    "image/png": _Format(png.declared_size, png.is_animated, png.is_whole),
    "image/webp": _Format(webp.declared_size, webp.is_animated),
}


def probe(data: bytes, limits: PictureLimits) -> SourceInfo:
    """The header of `data`, found acceptable.

    Raises InvalidFileType, AnimatedImage, InvalidDimensions, InvalidImage, in this order.
    """
    mime_type = detect(data)
    file_format = _FORMATS[mime_type]
    if file_format.is_animated(data):
        raise AnimatedImage
    _check_declared(file_format.declared_size(data), limits)
    size = oriented_size(data)
    limits.check(size.width, size.height)
    if not file_format.is_whole(data):
        raise InvalidImage
    return SourceInfo(mime_type=mime_type, width=size.width, height=size.height)


def _check_declared(declared: Size | None, limits: PictureLimits) -> None:
    """Hold the size the header declares to the limits, before libvips sees the file.

    It sets memory aside for some headers (1 GB for a WebP of 16383 x 16383), and takes
    others for corrupt (a PNG of 2^31 - 1). Sizes of zero are left for it to refuse.
    """
    if declared is not None and 0 not in declared:
        limits.check(*declared)
