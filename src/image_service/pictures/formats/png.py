"""The structure of a PNG file: its chunks (PNG specification, third edition, section 5)."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from image_service.domain.errors import ImageTooComplex
from image_service.pictures.formats import exif, icc
from image_service.pictures.formats.extent import Extent
from image_service.pictures.plan import Size

_FIRST_CHUNK: Final = 8
_OVERHEAD: Final = 12  # length, type and checksum
# 500 bytes a chunk in the largest file that is taken; encoders write 8 KiB and more.
_MAX_CHUNKS: Final = 20_000

# Of the chunks a decoder may pass over, those that say how the pixels are seen; iCCP besides.
_OF_THE_PIXELS: Final = frozenset({b"tRNS", b"cICP", b"sRGB", b"gAMA", b"cHRM"})
_PASSED_OVER: Final = 0x20  # a small first letter: not needed for the picture
_MAX_DEFLATED: Final = 2 * 2**20

_ACTL: Final = _OVERHEAD + 8
_MAX_LENGTH: Final = 2**31  # of a chunk, by the specification

_COLOUR_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type, palettes looked up
_WITH_ALPHA: Final = frozenset({4, 6})
_DEEP: Final = 16  # bits a channel; all others become 8


def declared_size(data: bytes) -> Size | None:
    """Width and height as the IHDR has them; None if it is not where it must be."""
    if data[12:16] != b"IHDR":
        return None
    return Size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def held_bytes_a_pixel(data: bytes) -> float:
    """Returns what the decoder keeps of the whole picture: nothing, or all of it if interlaced."""
    depth, colour_type, _, _, interlaced = _pixel_format(data)
    if not interlaced:
        return 0
    channels = _COLOUR_CHANNELS.get(colour_type, 3) + has_alpha(data)
    return channels * (2 if depth == _DEEP else 1)


def has_alpha(data: bytes) -> bool:
    """Returns whether decoding it gives an alpha channel."""
    if _pixel_format(data)[1] in _WITH_ALPHA:
        return True
    for kind in _chunk_types(data):
        if kind == b"tRNS":
            return True
        if kind == b"IDAT":
            return False
    return False


def frames(data: bytes) -> int:
    """Returns how many pictures an APNG shows: 1 without an `acTL` ahead of the pixels.

    As many as it announces and has: with a single one it is a still, as browsers show it.
    """
    announced, found = 1, 0
    for chunk in _chunks(data):
        if chunk.kind == b"acTL" and chunk.end - chunk.start == _ACTL:
            # Of several `acTL`, which no file may have, a reader may go by any.
            count = int.from_bytes(data[chunk.start + 8 : chunk.start + 12], "big")
            announced = max(announced, count)
        elif chunk.kind == b"IDAT" and announced <= 1:
            break
        found += chunk.kind == b"fcTL"
    return max(1, min(announced, found))


def extent(data: bytes) -> Extent:
    """A PNG says of each chunk how long it is, and ends in an IEND."""
    kinds, end = set(), _FIRST_CHUNK
    for chunk in _chunks(data):
        if not chunk.kind.isalpha():
            break
        kinds.add(chunk.kind)
        end = chunk.end
        if chunk.kind == b"IEND":
            return Extent(b"IHDR" in kinds, end)
    has_picture = b"IHDR" in kinds
    length, kind = int.from_bytes(data[end : end + 4], "big"), data[end + 4 : end + 8]
    if len(kind) == len(b"IEND") and not (kind.isalpha() and length < _MAX_LENGTH):
        return Extent(has_picture, end)  # what should be a chunk is none
    # Behind all but the last there is at least an IEND.
    end += _OVERHEAD + length if kind.isalpha() else 0
    return Extent(has_picture, end if kind == b"IEND" else end + _OVERHEAD)


def is_whole(data: bytes) -> bool:
    """Returns whether the closing IEND is there. What follows it does not matter."""
    return any(kind == b"IEND" for kind in _chunk_types(data))


def ahead_of_pixels(data: bytes, kinds: Collection[bytes]) -> dict[bytes, bytes]:
    """The bodies of the chunks of these kinds that stand before the pixels, the first of each.

    One whose checksum is wrong does not count: no chunk of these is needed for the pixels.
    """
    found: dict[bytes, bytes] = {}
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT":
            break
        if chunk.kind in kinds and _is_sound(data, chunk):
            found.setdefault(chunk.kind, data[chunk.start + 8 : chunk.end - 4])
    return found


def orientation(data: bytes) -> int:
    """1 to 8, as the first EXIF chunk ahead of IEND says."""
    for chunk in _chunks(data):
        if chunk.kind == b"eXIf":
            return exif.orientation(data[chunk.start + 8 : chunk.end - 4])
    return exif.UPRIGHT


def without_metadata(data: bytes) -> bytes:
    """`data` without the chunks that no pixel needs: EXIF, texts, times, previews.

    libspng inflates every compressed text, of up to 50 MB each, whenever a file is opened,
    and keeps them all. Of colour profiles the first goes on, if it is sound and not long.
    """
    kept, start, profiles = [], 0, 0
    for chunk in _chunks(data):
        of_use = chunk.kind in _OF_THE_PIXELS or not chunk.kind[0] & _PASSED_OVER
        if chunk.kind == b"iCCP":
            profiles += 1
            body = data[chunk.start + 8 : chunk.end - 4]
            of_use = profiles == 1 and bool(inflated_profile(body))
        if not of_use:
            kept.append(data[start : chunk.start])
            start = chunk.end
    return b"".join((*kept, data[start:])) if kept else data


def inflated_profile(body: bytes) -> bytes:
    """The colour profile in an iCCP; empty if it is damaged, or longer than 4 MiB.

    Not inflated is one that is longer than 2 MiB as it is.
    """
    stream = body[:_MAX_DEFLATED].partition(b"\0")[2][1:]
    inflating = zlib.decompressobj()
    try:
        profile = inflating.decompress(stream, icc.MAX_BYTES + 1)
    except zlib.error:
        return b""
    return profile if inflating.eof and len(profile) <= icc.MAX_BYTES else b""


def _pixel_format(data: bytes) -> bytes:
    """Depth, colour type, compression, filter and interlacing of an IHDR; 0 where it is cut."""
    return data[24:29].ljust(5, b"\0")


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int


def _is_sound(data: bytes, chunk: _Chunk) -> bool:
    checksum = zlib.crc32(data[chunk.start + 4 : chunk.end - 4])
    return checksum == int.from_bytes(data[chunk.end - 4 : chunk.end], "big")


def _chunk_types(data: bytes) -> Iterator[bytes]:
    return (chunk.kind for chunk in _chunks(data))


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks that are there from end to end, up to IEND.

    Raises ImageTooComplex past 20,000: what follows is not looked at.
    """
    start = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(data[start : start + 4], "big")
        end = start + _OVERHEAD + length
        if end > len(data):
            return
        chunk = _Chunk(data[start + 4 : start + 8], start, end)
        yield chunk
        if chunk.kind == b"IEND":
            return
        start = end
    raise ImageTooComplex.because(
        f"The PNG has more than {_MAX_CHUNKS:,} chunks.", chunks=(_MAX_CHUNKS + 1, _MAX_CHUNKS)
    )
