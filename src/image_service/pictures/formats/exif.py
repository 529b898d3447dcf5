"""The one EXIF entry the service needs: orientation (TIFF 6.0, section 2; Exif 2.32, 4.6.4).

Read here so that no native EXIF reader ever sees an upload: one whose directories point to
each other takes libexif many seconds.
"""

from __future__ import annotations

import struct
from typing import Final

UPRIGHT: Final = 1
_FIRST_SIDEWAYS: Final = 5  # orientations 5 to 8 swap width and height
_PREFIX: Final = b"Exif\0\0"
_BYTE_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_ENTRY_BYTES: Final = 12
_MAX_ENTRIES: Final = 512  # cameras write about twenty


def orientation(block: bytes) -> int:
    """1 to 8, from the first directory of an EXIF block; 1 (upright) where it says nothing."""
    tiff = block.removeprefix(_PREFIX)
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:  # noqa: PLR2004 - the TIFF header
        return UPRIGHT
    start = struct.unpack_from(order + "I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return UPRIGHT
    entries = struct.unpack_from(order + "H", tiff, start)[0]
    first = start + 2
    for at in range(first, first + min(entries, _MAX_ENTRIES) * _ENTRY_BYTES, _ENTRY_BYTES):
        if at + _ENTRY_BYTES > len(tiff):
            break
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == _ORIENTATION:
            known = kind == _SHORT and count == 1 and UPRIGHT <= value <= 8  # noqa: PLR2004
            return value if known else UPRIGHT
    return UPRIGHT


def is_sideways(value: int) -> bool:
    return value >= _FIRST_SIDEWAYS
