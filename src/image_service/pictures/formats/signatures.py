"""File signatures: the type by the first bytes, never by name or claimed type."""

from __future__ import annotations

from typing import Final

from image_service.domain.errors import InvalidFileType
from image_service.ports import MimeType

SUPPORTED: Final[tuple[MimeType, ...]] = ("image/jpeg", "image/png", "image/webp")

# Refused types people are likely to try, so that the refusal can name what it found.
_OTHERS: Final = (
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL ", "image/jxl"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
    (b"PK\x03\x04", "application/zip"),
)
# ISO base media files name their brand in an `ftyp` box at byte 4 (ISO/IEC 14496-12).
_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
_MARKUP: Final = ((b"<svg", "image/svg+xml"), (b"<html", "text/html"), (b"<!doctype", "text/html"))
_MARKUP_WINDOW: Final = 1024  # bytes; an SVG may open with an XML declaration and comments


def detect(data: bytes) -> MimeType:
    """The supported type `data` has the signature of. Raises InvalidFileType for any other."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    found = _name(data)
    raise InvalidFileType(
        f"{InvalidFileType.default_message}; {_in_words(found)}. "
        "Convert it to one of these types and upload it again.",
        details={"measured": found, "limit": list(SUPPORTED)},
    )


def _name(data: bytes) -> str:
    if not data:
        return "empty"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    for signature, name in _OTHERS:
        if data.startswith(signature):
            return name
    return _markup(data[:_MARKUP_WINDOW].lower())


def _markup(start: bytes) -> str:
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        for tag, name in _MARKUP:
            if tag in start:
                return name
    return "unknown"


def _in_words(found: str) -> str:
    if found == "empty":
        return "this file is empty"
    if found == "unknown":
        return "this file is none of them, whatever its name says"
    return f"by its contents this file is {found}"
