"""The header of a file: format and dimensions, held to limits before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from image_service.domain.errors import AnimatedImage, InvalidDimensions
from image_service.domain.limits import MAX_SIDE, MIN_SIDE, PICTURE_CPU_SECONDS
from image_service.domain.pictures import MimeType, SourceInfo
from image_service.domain.renditions import RENDITIONS, RenditionSpec, wanted
from image_service.domain.task_size import USUAL
from image_service.domain.time_limits import TimeLimits
from image_service.pictures.formats import exif, jpeg, png, webp
from image_service.pictures.formats.damage import refusal
from image_service.pictures.formats.signatures import detect
from image_service.pictures.plan import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLimits:
    """Bounds of both width and height of an uploaded picture, in pixels, inclusive.

    `max_decode_bytes` bounds the memory it is estimated to take, for which it counts what is
    made of it: the `renditions`. `cpu_seconds` bound its processing, and
    `timeout` bounds the seconds that it takes.
    """

    min_side: int = MIN_SIDE
    max_side: int = MAX_SIDE
    max_decode_bytes: int = USUAL.decode_bytes
    renditions: Sequence[RenditionSpec] = RENDITIONS
    cpu_seconds: int = PICTURE_CPU_SECONDS
    timeout: float = TimeLimits.processing_timeout

    def check(self, width: int, height: int) -> None:
        """Raises InvalidDimensions, saying what was measured, the limits and the remedy."""
        too_small = min(width, height) < self.min_side
        too_large = max(width, height) > self.max_side
        if not too_small and not too_large:
            return
        raise InvalidDimensions(
            f"The picture measures {width} x {height} pixels; it must be at least "
            f"{self.min_side} x {self.min_side} and at most {self.max_side} x {self.max_side}. "
            + _remedy(too_small=too_small, too_large=too_large),
            details={
                "measured": {"width": width, "height": height},
                "limit": {
                    "minWidth": self.min_side,
                    "minHeight": self.min_side,
                    "maxWidth": self.max_side,
                    "maxHeight": self.max_side,
                },
            },
        )

    def check_memory(self, decode_bytes: int) -> None:
        """Raises InvalidDimensions for a picture that would never get the memory it takes."""
        if decode_bytes <= self.max_decode_bytes:
            return
        raise InvalidDimensions(
            f"The picture takes about {decode_bytes / 2**20:.0f} MiB of memory to decode as it "
            f"is saved; at most {self.max_decode_bytes / 2**20:.0f} MiB are available. Save it as "
            "a baseline JPEG or a PNG without interlacing, or scale it down, and upload it again.",
            details={
                "measured": {"decodeBytes": decode_bytes},
                "limit": {"maxDecodeBytes": self.max_decode_bytes},
            },
        )


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
# And a pixel of those by width, as a file of noise: each is kept until the last is made.
_OPAQUE_BYTES, _OPAQUE_FILE_BYTES = 16, 1.25
_ALPHA_BYTES, _ALPHA_FILE_BYTES = 36, 2.25
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
    picture, and the files of the smaller ones; what the decoder holds, all of the picture or
    some of its rows, with its tables; and the file itself.
    """
    file_format = _FORMATS[mime_type]
    pixels = size.width * size.height
    an_output_pixel, a_file_pixel = (
        (_ALPHA_BYTES, _ALPHA_FILE_BYTES)
        if file_format.has_alpha(data)
        else (_OPAQUE_BYTES, _OPAQUE_FILE_BYTES)
    )
    if mime_type == "image/webp":
        an_output_pixel += _WEBP_FRAME_BYTES
    held = file_format.held_bytes_a_pixel(data) or 1
    largest = max(spec.side for spec in limits.renditions) ** 2
    outputs = min(pixels, largest) * an_output_pixel
    files = a_file_pixel * sum(
        pixels * spec.scale(*size) ** 2
        for spec in wanted(limits.renditions, *size)
        if spec.fit == "width"
    )
    file = _COPIES * len(data) + file_format.code_bytes(data)
    return _LEAST_BYTES + outputs + int(files + held * pixels) + file


def _remedy(*, too_small: bool, too_large: bool) -> str:
    if too_small and too_large:
        return "Crop it to a less extreme shape and upload it again."
    if too_large:
        return "Scale it down and upload it again."
    return "Upload a larger version of it."
