"""The header of a file: its format and dimensions, before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from image_service.domain.errors import AnimatedImage
from image_service.domain.pictures import MimeType, SourceInfo
from image_service.pictures.formats import exif, jpeg, png, webp
from image_service.pictures.formats.damage import refusal
from image_service.pictures.formats.signatures import detect
from image_service.pictures.limits import PictureLimits
from image_service.pictures.plan import Size


@dataclass(frozen=True, slots=True)
class _Format:
    declared_size: Callable[[bytes], Size | None]
    orientation: Callable[[bytes], int]
    held_bytes_a_pixel: Callable[[bytes], float]
    has_alpha: Callable[[bytes], bool] = lambda _: False
    frames: Callable[[bytes], int] = lambda _: 1
    is_whole: Callable[[bytes], bool] = lambda _: True
    check_kind: Callable[[bytes], None] = lambda _: None
    code_bytes: Callable[[bytes], int] = lambda _: 0


_FORMATS: Final[dict[MimeType, _Format]] = {
    "image/jpeg": _Format(
        jpeg.declared_size,
        jpeg.orientation,
        jpeg.held_bytes_a_pixel,
        check_kind=jpeg.check_kind,
    ),
    "image/png": _Format(
        png.declared_size,
        png.orientation,
        png.held_bytes_a_pixel,
        png.has_alpha,
        png.frames,
        png.is_whole,
    ),
    "image/webp": _Format(
        webp.declared_size,
        webp.orientation,
        webp.held_bytes_a_pixel,
        webp.has_alpha,
        webp.frames,
        code_bytes=webp.code_bytes,
    ),
}

_COPIES: Final = 2  # of the file: as it came, and without metadata
_LEAST_BYTES: Final = 8 * 2**20
# A pixel of the main picture, decoded and while it is encoded; alpha has an encoder of its own.
_OPAQUE_BYTES, _ALPHA_BYTES = 16, 36
# libwebp gives the decoded picture whole, at about the size of the main picture.
_WEBP_FRAME_BYTES: Final = 12


def read_header(data: bytes, limits: PictureLimits) -> SourceInfo:
    """The header of `data`, found acceptable.

    Raises InvalidFileType, AnimatedImage, InvalidDimensions, InvalidImage, in this order.
    """
    mime_type = detect(data)
    file_format = _FORMATS[mime_type]
    frames = file_format.frames(data)
    if frames > 1:
        raise AnimatedImage(
            f"The picture is an animation of {frames} frames; only still pictures are taken. "
            "Upload one of its frames.",
            details={"measured": {"frames": frames}, "limit": {"maxFrames": 1}},
        )
    file_format.check_kind(data)
    size = file_format.declared_size(data)
    if size is None or 0 in size:
        raise refusal(data, mime_type)
    orientation = file_format.orientation(data)
    if exif.is_sideways(orientation):
        size = Size(size.height, size.width)
    limits.check(size.width, size.height)
    if not file_format.is_whole(data):
        raise refusal(data, mime_type)
    decode_bytes = _decode_bytes(data, mime_type, size, limits)
    limits.check_memory(decode_bytes)
    return SourceInfo(mime_type, size.width, size.height, decode_bytes, orientation)


def _decode_bytes(data: bytes, mime_type: MimeType, size: Size, limits: PictureLimits) -> int:
    """Returns the peak of processing, from above: `python -m benchmarks.memory` measures it.

    The sizes that are made, which grow with the picture up to those of the largest main
    picture; what the decoder holds, all of the picture or some of its rows, with its tables;
    and the file itself.
    """
    file_format = _FORMATS[mime_type]
    pixels = size.width * size.height
    an_output_pixel = _ALPHA_BYTES if file_format.has_alpha(data) else _OPAQUE_BYTES
    if mime_type == "image/webp":
        an_output_pixel += _WEBP_FRAME_BYTES
    held = file_format.held_bytes_a_pixel(data) or 1
    outputs = min(pixels, limits.max_output_pixels) * an_output_pixel
    file = _COPIES * len(data) + file_format.code_bytes(data)
    return _LEAST_BYTES + outputs + int(held * pixels) + file
