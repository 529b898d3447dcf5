"""From bytes to pixels: open a header, decode a picture, judge what damage is bearable.

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

from image_service.adapters.vips import jpeg
from image_service.adapters.vips.geometry import Size
from image_service.domain.errors import InvalidImage
from image_service.ports import MimeType

_FAIL_ON: Final[dict[MimeType, str]] = {
    "image/jpeg": "warning",
    "image/png": "error",
    "image/webp": "error",
}
_PROFILE: Final = "icc-profile-data"
_ORIENTATION: Final = "orientation"
_FIRST_SIDEWAYS: Final = 5  # EXIF orientations 5 to 8 swap width and height


def oriented_size(data: bytes) -> Size:
    """Width and height as the picture is seen; reads the header only. Raises InvalidImage."""
    header = _open(data)
    sideways = header.get_typeof(_ORIENTATION) != 0 and header.get(_ORIENTATION) >= _FIRST_SIDEWAYS
    if sideways:
        return Size(header.height, header.width)
    return Size(header.width, header.height)


def decode(data: bytes, mime_type: MimeType, size: Size) -> pyvips.Image:
    """The picture at `size`, upright, as 8-bit sRGB or sRGBA pixels in memory.

    `size` is after orientation, and not larger than the picture. Raises InvalidImage for
    truncated or corrupt data.
    """
    try:
        return _decode_strictly(data, mime_type, size)
    except pyvips.Error as error:
        cleaned = jpeg.without_oddities(data) if mime_type == "image/jpeg" else data
        if cleaned == data:
            raise InvalidImage from error
    try:
        return _decode_strictly(cleaned, mime_type, size)
    except pyvips.Error as error:
        raise InvalidImage from error


def _decode_strictly(data: bytes, mime_type: MimeType, size: Size) -> pyvips.Image:
    picture = pyvips.Image.thumbnail_buffer(
        data,
        size.width,
        height=size.height,
        size="force",
        # As an argument of its own `fail_on` does not reach the loader of a buffer.
        option_string=f"[fail_on={_FAIL_ON[mime_type]}]",
        **_colour_conversion(data),
    )
    if picture.interpretation != "srgb":
        picture = picture.colourspace("srgb")
    # libvips is lazy: the pixels are computed here and nowhere later. Whoever must stop a
    # runaway file does it from another thread, with `picture.set_kill(True)`.
    return picture.copy_memory()


def _colour_conversion(data: bytes) -> dict[str, Any]:
    """Arguments that bring the picture's colours to sRGB, only where they may be others.

    Without a profile libvips would take 0.35 s for a 12-megapixel picture to change nothing.
    The perceptual intent keeps the shadows of CMYK apart, where others make one black of
    them; where no usable profile is embedded, libvips applies it only if its own is named.
    """
    header = _open(data)
    to_srgb = {"export_profile": "srgb", "intent": "perceptual"}
    if header.interpretation == "cmyk":
        return {**to_srgb, "import_profile": "cmyk"}
    return to_srgb if header.get_typeof(_PROFILE) != 0 else {}


def _open(data: bytes) -> pyvips.Image:
    try:
        return pyvips.Image.new_from_buffer(data, "", access="sequential")
    except pyvips.Error as error:
        raise InvalidImage from error
