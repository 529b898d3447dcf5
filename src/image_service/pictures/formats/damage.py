"""Refusals of files that no decoder takes: cut short, damaged, or no picture at all.

Each has a text of its own, because each has a remedy of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from image_service.domain.errors import InvalidImage
from image_service.domain.pictures import MimeType
from image_service.pictures.formats import jpeg, png, webp
from image_service.pictures.formats.extent import Extent

_FORMATS: Final[dict[MimeType, tuple[str, Callable[[bytes], Extent]]]] = {
    "image/jpeg": ("JPEG", jpeg.extent),
    "image/png": ("PNG", png.extent),
    "image/webp": ("WebP", webp.extent),
}


def refusal(data: bytes, mime_type: MimeType) -> InvalidImage:
    """Returns what is wrong with the file `data`, which can't be decoded."""
    name, extent_of = _FORMATS[mime_type]
    extent = extent_of(data)
    if not extent.has_picture and extent.least_bytes <= len(data):
        return _invalid(
            "noPicture",
            f"The file begins like a {name}, but there is no picture in its {len(data)} bytes. "
            "Export the picture again, and upload that file.",
            data,
        )
    if extent.least_bytes > len(data):
        return _invalid(
            "truncated",
            f"The {name} ends after {len(data)} bytes, before its picture does; by what it says it "
            f"has at least {extent.least_bytes} bytes. Upload the whole file again; where the copy "
            "on your device is cut too, get it again from where it came from.",
            data,
            least=extent.least_bytes,
        )
    return _invalid(
        "damaged",
        f"The {name} is there to its end, {len(data)} bytes, but its data is damaged. Open it in "
        "an image editor, save it again and upload that; or use another copy of it.",
        data,
    )


def _invalid(reason: str, message: str, data: bytes, least: int | None = None) -> InvalidImage:
    return InvalidImage(
        message,
        details={
            "reason": reason,
            "measured": {"bytes": len(data)},
            "limit": None if least is None else {"minBytes": least},
        },
    )
