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
"""

from __future__ import annotations

from typing import Any, Final

import pyvips  # type: ignore[import-untyped]  # it has stubs, but no py.typed

from image_service.domain.errors import InvalidImage
from image_service.pictures.formats import jpeg, png
from image_service.pictures.plan import Size
from image_service.pictures.raster import Raster, Stoppable
from image_service.ports import MimeType

_FAIL_ON: Final[dict[MimeType, str]] = {
    "image/jpeg": "warning",
    "image/png": "error",
    "image/webp": "error",
}
_PROFILE: Final = "icc-profile-data"
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
    truncated or corrupt data, and what `stoppable` raises, which is put around the
    computing of a picture.
    """
    data = _harmless(data, mime_type)
    try:
        return _decode_strictly(data, mime_type, size, stoppable)
    except pyvips.Error as error:
        cleaned = jpeg.without_oddities(data) if mime_type == "image/jpeg" else data
        if cleaned == data:
            raise InvalidImage from error
    try:
        return _decode_strictly(cleaned, mime_type, size, stoppable)
    except pyvips.Error as error:
        raise InvalidImage from error


def _decode_strictly(data: bytes, mime_type: MimeType, size: Size, stoppable: Stoppable) -> Raster:
    header = _open(data)
    picture = _scaled(data, mime_type, header, _turned(size, header))
    if picture.interpretation != "srgb":
        picture = picture.colourspace("srgb")
    if _orientation(header) > 1:
        # libvips is lazy, and turning needs the whole picture: so that is computed before.
        with stoppable(picture):
            picture = picture.copy_memory().autorot()
    return Raster.compute(picture, stoppable)


def _harmless(data: bytes, mime_type: MimeType) -> bytes:
    """What may be opened: without what takes memory of its own, whatever the picture measures."""
    return png.without_extras(data) if mime_type == "image/png" else data


def _scaled(data: bytes, mime_type: MimeType, header: pyvips.Image, size: Size) -> pyvips.Image:
    """The picture as stored, at `size`, its colours sRGB."""
    options = {
        "height": size.height,
        "size": "force",
        # It would compute the picture at once to turn it, where nobody can stop it.
        "no_rotate": True,
        **_colour_conversion(header),
    }
    fail_on = _FAIL_ON[mime_type]
    if mime_type != "image/jpeg":
        # As an argument of its own `fail_on` does not reach the loader of a buffer.
        return pyvips.Image.thumbnail_buffer(
            data, size.width, option_string=f"[fail_on={fail_on}]", **options
        )
    reduced = pyvips.Image.new_from_buffer(
        data, "", access="sequential", fail_on=fail_on, shrink=_jpeg_reduction(header, size)
    )
    return reduced.thumbnail_image(size.width, **options)


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


def _colour_conversion(header: pyvips.Image) -> dict[str, Any]:
    """Arguments that bring the picture's colours to sRGB, only where they may be others.

    Without a profile libvips would take 0.35 s for a 12-megapixel picture to change nothing.
    The perceptual intent keeps the shadows of CMYK apart, where others make one black of
    them; where no usable profile is embedded, libvips applies it only if its own is named.
    """
    to_srgb = {"export_profile": "srgb", "intent": "perceptual"}
    if header.interpretation == "cmyk":
        return {**to_srgb, "import_profile": "cmyk"}
    return to_srgb if header.get_typeof(_PROFILE) != 0 else {}


def _open(data: bytes) -> pyvips.Image:
    try:
        return pyvips.Image.new_from_buffer(data, "", access="sequential")
    except pyvips.Error as error:
        raise InvalidImage from error
