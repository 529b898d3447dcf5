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
  can't be told from others, for the format has no checksum.

What libvips reports beside its loaders is no damage of the file, and is not called that.
"""

from __future__ import annotations

from typing import Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import InvalidImage
from image_service.pictures.colour import PROFILE, in_srgb
from image_service.pictures.formats import jpeg, png, png_colour
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster, Stoppable
from image_service.ports import MimeType

_FAIL_ON: Final[dict[MimeType, str]] = {
    "image/jpeg": "warning",
    "image/png": "error",
    "image/webp": "error",
}
# The domains of what the loaders report; the last finds out which of them a file is for.
_LOADERS: Final = {"VipsJpeg", "vipspng", "webp", "webp2vips", "VipsForeignLoad"}
_ORIENTATION: Final = "orientation"
_JPEG_REDUCTIONS: Final = (1, 2, 4, 8)
_FIRST_SIDEWAYS: Final = 5  # EXIF orientations 5 to 8 swap width and height


def oriented_size(data: bytes, mime_type: MimeType) -> Size:
    """Width and height as the picture is seen; reads the header only. Raises InvalidImage."""
    header = _open(_harmless(data, mime_type))
    return _turned(Size(header.width, header.height), header)


def decode(data: bytes, mime_type: MimeType, size: Size, stoppable: Stoppable) -> Raster:
    """The picture at `size`, upright, its colours brought to sRGB.

    `size` is after orientation, and not larger than the picture. Raises InvalidImage for
    truncated or corrupt data, pyvips.Error where it is not the file that fails, and what
    `stoppable` raises, which is put around the computing of a picture.
    """
    data = _harmless(data, mime_type)
    try:
        return _decode_strictly(data, mime_type, size, stoppable)
    except pyvips.Error as error:
        cleaned = jpeg.without_oddities(data) if mime_type == "image/jpeg" else data
        if cleaned == data or not _is_the_loaders(error):
            raise _blamed(error) from error
    try:
        return _decode_strictly(cleaned, mime_type, size, stoppable)
    except pyvips.Error as error:
        raise _blamed(error) from error


def _blamed(error: pyvips.Error) -> Exception:
    """InvalidImage where the loader found the file wanting; else `error`, which is ours."""
    return InvalidImage() if _is_the_loaders(error) else error


def _is_the_loaders(error: pyvips.Error) -> bool:
    """Whether a loader reported it, by the domain that libvips puts before each line.

    Of pixels missing from an interlaced PNG it reports nothing at all. Memory is ours.
    """
    domains = {line.partition(":")[0] for line in error.detail.splitlines()}
    return domains <= _LOADERS and "memory" not in error.detail.lower()


def _decode_strictly(data: bytes, mime_type: MimeType, size: Size, stoppable: Stoppable) -> Raster:
    header = _open(data)
    profiles = _profiles(data, mime_type, header)
    picture = _scaled(data, mime_type, header, _turned(size, header), as_is=bool(profiles))
    picture = in_srgb(picture, profiles)
    if _orientation(header) > 1:
        # libvips is lazy, and turning needs the whole picture: so that is computed before.
        with stoppable(picture):
            picture = picture.copy_memory().autorot()
    return Raster.compute(picture, stoppable)


def _harmless(data: bytes, mime_type: MimeType) -> bytes:
    """What may be opened: without what takes memory of its own, whatever the picture measures."""
    return png.without_extras(data) if mime_type == "image/png" else data


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
    if as_is and header.format == "ushort":
        return _resized_deep(
            pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on=fail_on), size
        )
    return pyvips.Image.thumbnail_buffer(
        data,
        size.width,
        height=size.height,
        size="force",
        # It would compute the picture at once to turn it, where nobody can stop it.
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
    """How many times smaller the decoder can make a JPEG, no side of it less than `size`.

    libvips itself would leave at least a factor of 2 to scale, which for 24 megapixels costs
    a fifth more time and looks no better (docs/benchmarks.md).
    """
    room = min(header.width / size.width, header.height / size.height)
    return max(reduction for reduction in _JPEG_REDUCTIONS if reduction <= room)


def _orientation(header: pyvips.Image) -> int:
    """1 to 8, as EXIF has it; 1 is upright."""
    return int(header.get(_ORIENTATION)) if header.get_typeof(_ORIENTATION) != 0 else 1


def _turned(size: Size, header: pyvips.Image) -> Size:
    """`size` from as stored to as seen, or back."""
    if _orientation(header) >= _FIRST_SIDEWAYS:
        return Size(size.height, size.width)
    return size


def _profiles(data: bytes, mime_type: MimeType, header: pyvips.Image) -> list[bytes]:
    """What the file says its numbers mean, to be tried in this order."""
    if mime_type == "image/png":
        return png_colour.profiles(data)
    return [header.get(PROFILE)] if header.get_typeof(PROFILE) != 0 else []


def _open(data: bytes) -> pyvips.Image:
    try:
        return pyvips.Image.new_from_buffer(data, "", access="sequential")
    except pyvips.Error as error:
        raise _blamed(error) from error
