"""Type of a file by its first bytes. Its name and claimed type are never asked."""

from __future__ import annotations

import re
import struct
from typing import Final

from image_service.domain.errors import InvalidFileType
from image_service.domain.pictures import MimeType
from image_service.pictures.formats.refused_types import in_words

SUPPORTED: Final[tuple[MimeType, ...]] = ("image/jpeg", "image/png", "image/webp")

# Refused types people are likely to try, so that the refusal can name what it found.
_OTHERS: Final = (
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIRS", "image/x-olympus-orf"),
    (b"MMOR", "image/x-olympus-orf"),
    (b"IIU\0", "image/x-panasonic-rw2"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"II\xbc", "image/jxr"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL ", "image/jxl"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
)
# ISO base media files name their brands in an `ftyp` box at byte 4 (ISO/IEC 14496-12; HEIF:
# 23008-12): one they are made by, then those they are compatible with.
_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic"),
    **dict.fromkeys((b"avci", b"avcs", b"jpeg", b"jpgs", b"j2ki", b"j2is"), "image/heif"),
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
}
# The brands that say no more than that pictures are kept as HEIF does: the others say of what kind.
_ANY_HEIF: Final = frozenset({b"mif1", b"mif2", b"mif3", b"msf1", b"miaf"})
_MAX_BRANDS: Final = 64
_BOXES_OF_MOVIES: Final = frozenset({b"moov", b"mdat", b"wide", b"pnot"})  # QuickTime before `ftyp`
_RIFF: Final = {b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

_TIFF: Final = {b"II*\0": "<", b"MM\0*": ">"}
_MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 0x010F, 0x014A, 0xC612
_MAX_ENTRIES: Final = 256
# TIFF files with pictures in pictures, by who made the camera.
_RAW: Final = (
    (b"nikon", "image/x-nikon-nef"),
    (b"sony", "image/x-sony-arw"),
    (b"pentax", "image/x-pentax-pef"),
    (b"samsung", "image/x-samsung-srw"),
)

_MARKUP: Final = ((b"<svg", "image/svg+xml"), (b"<html", "text/html"), (b"<!doctype", "text/html"))
_WINDOW: Final = 1024  # bytes; an SVG may open with an XML declaration and comments
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"
# A data URL, or what the signatures of JPEG, PNG, WebP and GIF are in Base64.
_BASE64: Final = re.compile(rb"\"?(data:image/|/9j/|iVBORw0KGgo|UklGR|R0lGOD)")
_TEXT: Final = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{4,}\Z")


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
        f"{InvalidFileType.default_message}; {in_words(found)}",
        details={"measured": found, "limit": list(SUPPORTED)},
    )


def _name(data: bytes) -> str:
    if not data:
        return "empty"
    if data[4:8] == b"ftyp":
        return _by_brands(data)
    if data[:4] in _TIFF:
        return _tiff(data)
    kind = data[8:12] if data.startswith(b"RIFF") else b""
    name = next((name for start, name in _OTHERS if data.startswith(start)), _RIFF.get(kind))
    if name:
        return name
    if data[4:8] in _BOXES_OF_MOVIES:
        return "video/quicktime"
    return _text(data[:_WINDOW].lstrip(_BLANKS))


def _by_brands(data: bytes) -> str:
    major, end = data[8:12], min(int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    if major not in _ANY_HEIF:
        return _BRANDS.get(major, "video/mp4")
    # What is small enough to have no such box of its own names its one brand behind (mif3).
    compatible = [data[at : at + 4] for at in (12, *range(16, end, 4))]
    names = {_BRANDS[brand] for brand in compatible if brand in _BRANDS}
    return next((name for name in ("image/avif", "image/heic") if name in names), "image/heif")


def _tiff(data: bytes) -> str:
    """A TIFF is a raw file if it says so, or is a camera's and has pictures within."""
    if data[8:11] == b"CR\x02":
        return "image/x-canon-cr2"
    entries = _first_directory(data)
    if _DNG_VERSION in entries:
        return "image/x-adobe-dng"
    if _SUB_DIRECTORIES in entries and _MAKE in entries:
        start = entries[_MAKE]
        make = data[start : start + 32].lower()
        return next((name for maker, name in _RAW if make.startswith(maker)), "image/tiff")
    return "image/tiff"


def _first_directory(data: bytes) -> dict[int, int]:
    """The value or offset of each entry, by tag (TIFF 6.0, section 2)."""
    order = _TIFF[data[:4]]
    start = int.from_bytes(data[4:8], "little" if order == "<" else "big")
    table = data[start : start + 2 + 12 * _MAX_ENTRIES]
    if len(table) < 2:  # noqa: PLR2004 - the number of entries
        return {}
    count = min(struct.unpack_from(order + "H", table)[0], (len(table) - 2) // 12)
    entries = (struct.unpack_from(order + "H6xI", table, 2 + 12 * at) for at in range(count))
    return dict(entries)


def _text(start: bytes) -> str:
    if start.startswith(b"<"):
        lower = start.lower()
        return next((name for tag, name in _MARKUP if tag in lower), "text/plain")
    if _BASE64.match(start):
        return "text/base64"
    return "text/plain" if _TEXT.match(start) else "unknown"
