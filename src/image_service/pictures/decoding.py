"""Decoding: opens a header, decodes a picture, judges which damage is bearable.

How strictly libvips (8.18) judges is its `fail_on`, chosen a format at a time:

- JPEG: "warning". Of missing, overwritten or cut-out data libjpeg only warns, and fills with
  grey; so a warning has to refuse. It also warns of things that harm nothing: where strict
  decoding fails, a copy without those (`jpeg.without_oddities`) gets one more, as strict.
  Two things pass unseen: grey in the last 8 rows alone, because libvips looks for warnings
  when it asks for the next 8; and overwritten data that leaves enough for every pixel,
  because cameras that pad theirs make it look no different.
- PNG: "error". Refuses wrong checksums of header and pixels, and missing pixels; a bad
  colour profile or text chunk is passed over at every level.
- WebP: the same at every level. Files that are cut short are refused; overwritten bytes
  can't be distinguished from others, for the format has no checksum.

What libvips reports beside its loaders is no damage of the file, and is not called that.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import InvalidImage
from image_service.domain.pictures import MimeType, SourceInfo
from image_service.pictures.colour import PROFILE, in_srgb
from image_service.pictures.formats import exif, icc, jpeg, png, png_colour, webp
from image_service.pictures.formats.damage import refusal
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster
from image_service.pictures.webp_status import is_out_of_memory

_FAIL_ON: Final[dict[MimeType, str]] = {
    "image/jpeg": "warning",
    "image/png": "error",
    "image/webp": "error",
}
# The domains of what the loaders report: those of their code, their names, and the one that finds
# out which of them a file is for.
_LOADERS: Final = {
    *("VipsJpeg", "vipspng", "webp", "webp2vips"),
    *("jpegload_buffer", "pngload_buffer", "webpload_buffer"),
    "VipsForeignLoad",
}
_ORIENTATION: Final = "orientation"
_JPEG_REDUCTIONS: Final = (1, 2, 4, 8)
_SHALLOW: Final = {"rgb16": "srgb", "grey16": "b-w"}  # by libvips' name for it with 16 bits
_WITHOUT_METADATA: Final[dict[MimeType, Callable[[bytes], bytes]]] = {
    "image/jpeg": jpeg.without_metadata,
    "image/png": png.without_metadata,
    "image/webp": webp.without_metadata,
}
_COSTLY_SECONDS: Final = 2.0  # of CPU; a decode that took them gets no second chance


def decode(data: bytes, source: SourceInfo, size: Size) -> Raster:
    """The picture at `size`, upright, its colours brought to sRGB.

    `size` is after orientation, and not larger than the picture. Raises InvalidImage for
    truncated or corrupt data or where the picture is not what its header said, MemoryError for
    a WebP that lacks memory, pyvips.Error where it is not the file that fails.
    """
    if source.mime_type == "image/jpeg":
        jpeg.check_work(data)
    began = process_time()
    try:
        return _decode_or_repair(_WITHOUT_METADATA[source.mime_type](data), source, size)
    except pyvips.Error as error:
        if not _is_the_loaders(error):
            raise
        if source.mime_type == "image/webp" and process_time() - began < _COSTLY_SECONDS:
            _check_memory(data)
        raise refusal(data, source.mime_type) from error
    except InvalidImage:
        raise refusal(data, source.mime_type) from None


def _check_memory(data: bytes) -> None:
    """Raises MemoryError where libwebp has too little: it says so before it decodes a pixel."""
    if is_out_of_memory(data):
        raise MemoryError


def _decode_or_repair(data: bytes, source: SourceInfo, size: Size) -> Raster:
    began = process_time()
    try:
        return _decode_strictly(data, source, size)
    except pyvips.Error as error:
        cleaned = jpeg.without_oddities(data) if source.mime_type == "image/jpeg" else data
        costly = process_time() - began > _COSTLY_SECONDS
        if cleaned == data or costly or not _is_the_loaders(error):
            raise
    return _decode_strictly(cleaned, source, size)


def _is_the_loaders(error: pyvips.Error) -> bool:
    """Returns whether a loader reported it, by the domain that libvips puts before each line.

    Of pixels missing from an interlaced PNG it reports nothing at all. Memory is ours.
    """
    domains = {line.partition(":")[0] for line in error.detail.splitlines()}
    return domains <= _LOADERS and "memory" not in error.detail.lower()


def _decode_strictly(data: bytes, source: SourceInfo, size: Size) -> Raster:
    header = pyvips.Image.new_from_buffer(data, "", access="sequential")
    if (header.width, header.height) != _turned(Size(source.width, source.height), source):
        raise InvalidImage
    profiles = _profiles(data, source.mime_type, header)
    stored = _turned(size, source)
    picture = _scaled(data, source.mime_type, header, stored, as_is=bool(profiles))
    picture = in_srgb(picture, profiles)
    if source.orientation > exif.UPRIGHT:
        # libvips is lazy, and turning needs the whole picture: so that is computed before.
        picture = picture.copy_memory()
        picture.set_type(pyvips.GValue.gint_type, _ORIENTATION, source.orientation)
        picture = picture.autorot()
    return Raster.compute(picture)


def _scaled(
    data: bytes, mime_type: MimeType, header: pyvips.Image, size: Size, *, as_is: bool
) -> pyvips.Image:
    """The picture as stored, at `size`; `as_is` where its 16 bits a channel are still needed."""
    fail_on = _FAIL_ON[mime_type]
    if mime_type == "image/jpeg":
        reduction = _jpeg_reduction(header, size)
        return _resized(
            pyvips.Image.new_from_buffer(
                data, "", access="sequential", fail_on=fail_on, shrink=reduction
            ),
            size,
        )
    if header.format == "ushort":
        deep = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on=fail_on)
        if as_is:
            return _resized_deep(deep, size)
        # Left to `thumbnail`, grey of 16 bits takes a way through floats: 5 times the time.
        shallow = deep.msb().copy(interpretation=_SHALLOW[deep.interpretation])
        return shallow.thumbnail_image(size.width, height=size.height, size="force", no_rotate=True)
    return pyvips.Image.thumbnail_buffer(
        data,
        size.width,
        height=size.height,
        size="force",
        no_rotate=True,
        # As an argument of its own `fail_on` does not reach the loader of a buffer.
        option_string=f"[fail_on={fail_on}]",
    )


def _resized(picture: pyvips.Image, size: Size) -> pyvips.Image:
    return picture.resize(size.width / picture.width, vscale=size.height / picture.height)


def _resized_deep(picture: pyvips.Image, size: Size) -> pyvips.Image:
    """Like `_resized`, of 16 bits a channel, with or without alpha."""
    if not picture.hasalpha():
        return _resized(picture, size)
    # Multiplied into the colours before, and out of them after.
    resized = _resized(picture.premultiply(), size).unpremultiply()
    return resized.cast("ushort").copy(interpretation=picture.interpretation)


def _jpeg_reduction(header: pyvips.Image, size: Size) -> int:
    """Returns how many times smaller the decoder can make a JPEG, no side of it less than `size`.

    libvips itself would leave at least a factor of 2 to scale, which for 24 megapixels costs
    a fifth more time and looks no better (docs/benchmarks.md).
    """
    room = min(header.width / size.width, header.height / size.height)
    return max(reduction for reduction in _JPEG_REDUCTIONS if reduction <= room)


def _turned(size: Size, source: SourceInfo) -> Size:
    """`size` from as stored to as seen, or back."""
    return Size(size.height, size.width) if exif.is_sideways(source.orientation) else size


def _profiles(data: bytes, mime_type: MimeType, header: pyvips.Image) -> list[bytes]:
    """Returns the profiles that the file names, to be tried in this order, each within bounds."""
    if mime_type == "image/png":
        found = png_colour.profiles(data)
    else:
        found = [header.get(PROFILE)] if header.get_typeof(PROFILE) != 0 else []
    return [profile for profile in map(icc.bounded, found) if profile is not None]
