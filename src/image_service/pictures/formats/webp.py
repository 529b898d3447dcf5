"""The header of a WebP file (RFC 9649)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from image_service.domain.errors import ImageTooComplex
from image_service.pictures.formats import exif
from image_service.pictures.formats.extent import Extent
from image_service.pictures.plan import Size

_ANIMATION: Final = 0x02  # of the flags of a VP8X chunk
_ALPHA: Final = 0x10  # of the same
_LOSSLESS_ALPHA: Final = 1 << 28  # behind the sizes of a VP8L chunk
_FLAGS: Final = 20  # where that chunk has them, unless it is cut or empty
_METADATA_FLAGS: Final = 0x0C  # EXIF and XMP, of the same
_ALPHA_CODING, _CODED_LOSSLESS = 0x03, 1  # of the first byte of an ALPH chunk
_LOSSLESS_SIGNATURE: Final = b"\x2f"
_SEEN: Final = frozenset({b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF"})
_CODES: Final = 16 * 2**20
_MAX_CHUNKS: Final = 1_000  # real files have up to ten
_MASK: Final = 0x3FFF  # sizes of VP8 and VP8L have 14 bits


def declared_size(data: bytes) -> Size | None:
    """Width and height as the first chunk has them; None if that is not a known one."""
    kind = data[12:16]
    if kind == b"VP8X":
        return Size(_little(data[24:27]) + 1, _little(data[27:30]) + 1)
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return Size((bits & _MASK) + 1, (bits >> 14 & _MASK) + 1)
    if kind == b"VP8 ":
        return Size(_little(data[26:28]) & _MASK, _little(data[28:30]) & _MASK)
    return None


def held_bytes_a_pixel(data: bytes) -> float:
    """Returns what the decoder keeps of the picture: RGBA if lossless, else a plane of alpha."""
    kinds = set(_chunk_types(data))
    if b"VP8L" in kinds or b"VP8 " not in kinds:
        return 4
    return 2 if b"ALPH" in kinds else 0


def code_bytes(data: bytes) -> int:
    """Memory for the Huffman tables of lossless pictures and planes: encoders make up to 2,600."""
    return _CODES if {b"VP8L", b"ALPH"} & set(_chunk_types(data)) else 0


def has_alpha(data: bytes) -> bool:
    """Returns whether decoding it gives an alpha channel."""
    if data[12:16] == b"VP8L":
        return bool(_little(data[21:25]) & _LOSSLESS_ALPHA)
    return data[12:16] == b"VP8X" and bool(_little(data[20:21]) & _ALPHA)


def frames(data: bytes) -> int:
    """Returns how many pictures it shows: 1 where the header announces no animation.

    Frames it does not announce, no decoder takes. Past a thousand chunks none are counted, and
    what follows might be frames.
    """
    if data[12:16] != b"VP8X" or not _little(data[20:21]) & _ANIMATION:
        return 1
    kinds = [chunk.kind for chunk in islice(_walk(data), _MAX_CHUNKS + 1)]
    return max(kinds.count(b"ANMF"), 2 if len(kinds) > _MAX_CHUNKS else 1)


def extent(data: bytes) -> Extent:
    """A WebP says in its first bytes how long it is."""
    return Extent(declared_size(data) is not None, 8 + _little(data[4:8]))


def orientation(data: bytes) -> int:
    """1 to 8, as the first EXIF chunk says."""
    for chunk in _chunks(data):
        if chunk.kind == b"EXIF":
            return exif.orientation(data[chunk.start + 8 : chunk.end])
    return exif.UPRIGHT


def without_metadata(data: bytes) -> bytes:
    """`data` with those chunks alone that say what is seen; so neither EXIF nor XMP."""
    kept, start, dropped = [], 0, 0
    for chunk in _chunks(data):
        if chunk.kind not in _SEEN:
            kept.append(data[start : chunk.start])
            start = chunk.end
            dropped += min(chunk.end, len(data)) - chunk.start
    if not kept:
        return data
    rest = bytearray(b"".join((*kept, data[start:])))
    size = max(0, _little(data[4:8]) - dropped)
    rest[4:8] = size.to_bytes(4, "little")
    if rest[12:16] == b"VP8X" and len(rest) > _FLAGS:
        rest[_FLAGS] &= ~_METADATA_FLAGS
    return bytes(rest)


def lossless_part(data: bytes) -> bytes | None:
    """Returns the lossless part of `data` as a file of its own: the picture, or its alpha."""
    for chunk in _chunks(data):
        body = data[chunk.start + 8 : chunk.end]
        if chunk.kind == b"VP8L":
            return _lossless_file(body)
        size = declared_size(data)
        if chunk.kind == b"ALPH" and size and _little(body[:1]) & _ALPHA_CODING == _CODED_LOSSLESS:
            bits = (size.width - 1 & _MASK) | (size.height - 1 & _MASK) << 14
            return _lossless_file(_LOSSLESS_SIGNATURE + bits.to_bytes(4, "little") + body[1:])
    return None


def _lossless_file(body: bytes) -> bytes:
    chunk = b"VP8L" + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int


def _chunk_types(data: bytes) -> Iterator[bytes]:
    """The types of all chunks, those of an extended file's picture included."""
    return (chunk.kind for chunk in _chunks(data))


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Those of `_walk`. Raises ImageTooComplex past a thousand."""
    for number, chunk in enumerate(_walk(data)):
        if number == _MAX_CHUNKS:
            raise ImageTooComplex.because(
                f"The WebP has more than {_MAX_CHUNKS:,} chunks.", chunks=(number + 1, _MAX_CHUNKS)
            )
        yield chunk


def _walk(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to where the file says that it ends: what follows no decoder looks at."""
    position, stop = 12, 8 + _little(data[4:8])
    while position < stop and (kind := data[position : position + 4]):
        length = _little(data[position + 4 : position + 8])
        end = position + 8 + length + length % 2
        yield _Chunk(kind, position, end)
        position = end


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
