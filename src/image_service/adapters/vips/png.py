"""The structure of a PNG file: its chunks (PNG specification, third edition, section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from image_service.adapters.vips.geometry import Size

_FIRST_CHUNK: Final = 8
_OVERHEAD: Final = 12  # length, type and checksum
# 100 bytes a chunk in the largest file that is taken; encoders write 8 KiB and more.
_MAX_CHUNKS: Final = 100_000

_COLOUR_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type, palettes looked up
_WITH_ALPHA: Final = frozenset({4, 6})
_DEEP: Final = 16  # bits a channel; all others become 8


def declared_size(data: bytes) -> Size | None:
    """Width and height as the IHDR has them; None if it is not where it must be."""
    if data[12:16] != b"IHDR":
        return None
    return Size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def held_bytes_a_pixel(data: bytes) -> float:
    """What the decoder keeps of the whole picture: nothing, or all of it if it is interlaced."""
    depth, colour_type, interlaced = data[24], data[25], data[28]
    if not interlaced:
        return 0
    channels = _COLOUR_CHANNELS.get(colour_type, 3) + has_alpha(data)
    return channels * (2 if depth == _DEEP else 1)


def has_alpha(data: bytes) -> bool:
    """Whether decoding it gives an alpha channel."""
    if data[25] in _WITH_ALPHA:
        return True
    for kind in _chunk_types(data):
        if kind == b"tRNS":
            return True
        if kind == b"IDAT":
            return False
    return False


def is_animated(data: bytes) -> bool:
    """Whether `data` is an APNG: it has an `acTL` ahead of the pixels."""
    for kind in _chunk_types(data):
        if kind == b"acTL":
            return True
        if kind == b"IDAT":
            return False
    return False


def is_whole(data: bytes) -> bool:
    """Whether the closing IEND is there. What follows it does not matter."""
    return any(kind == b"IEND" for kind in _chunk_types(data))


def _chunk_types(data: bytes) -> Iterator[bytes]:
    """The types of the chunks that are there from end to end, up to IEND."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        position += _OVERHEAD + length
        if position > len(data):
            return
        yield kind
        if kind == b"IEND":
            return
