"""Lossless WebP files of as many groups of Huffman codes as one likes (RFC 9649, section 3.7).

Each group has five codes of one symbol, so that no pixel takes a bit; which group is whose stands
in a picture of 16 bits a block, each with a code of its own.
"""

from __future__ import annotations

import struct

from PIL import Image
from tests import pictures

_LENGTH_EIGHT = 11  # its place among the lengths of code lengths


class _Bits:
    """Numbers in turn, the lowest bit of each first."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def put(self, value: int, count: int) -> None:
        self._parts.append(f"{value:0{count}b}"[::-1])

    def to_bytes(self) -> bytes:
        text = "".join(self._parts)
        return int(text[::-1], 2).to_bytes(-(-len(text) // 8), "little")


def stream(width: int, height: int, *, groups: int, block_bits: int = 2) -> bytes:
    """The picture alone, black, without its header; at most one group a block of pixels."""
    bits, block = _Bits(), 1 << block_bits
    blocks = -(-width // block) * -(-height // block)
    bits.put(0, 1)  # no transform
    bits.put(1 | 11 << 1, 5)  # the largest cache of colours, and so the largest tables
    bits.put(1 | block_bits - 2 << 1, 4)  # a picture of groups
    bits.put(0, 1)  # it has no cache
    for _ in range(2):
        _put_code_of_bytes(bits)
    for _ in range(3):
        _put_code_of_one(bits)
    for at in range(blocks):
        for byte in (at % groups & 0xFF, at % groups >> 8):
            bits.put(int(f"{byte:08b}"[::-1], 2), 8)
    for _ in range(5 * min(groups, blocks)):
        _put_code_of_one(bits)
    return bits.to_bytes() + bytes(8)


def _put_code_of_one(bits: _Bits) -> None:
    bits.put(1, 4)


def _put_code_of_bytes(bits: _Bits) -> None:
    """256 symbols of eight bits."""
    bits.put((_LENGTH_EIGHT + 1 - 4) << 1, 5)
    for at in range(_LENGTH_EIGHT + 1):
        bits.put(at == _LENGTH_EIGHT, 3)
    bits.put(1 | 3 << 1 | 254 << 4, 12)


def lossless(width: int, height: int, *, groups: int, block_bits: int = 2) -> bytes:
    bits = _Bits()
    bits.put(0x2F | (width - 1) << 8 | (height - 1) << 22, 40)
    body = bits.to_bytes() + stream(width, height, groups=groups, block_bits=block_bits)
    return pictures.with_riff_size(b"RIFF0000WEBP" + _chunk(b"VP8L", body))


def with_alpha(width: int, height: int, *, groups: int) -> bytes:
    """A lossy picture whose plane of alpha has that many groups."""
    picture = Image.new("RGBA", (width, height), (200, 90, 30, 120))
    chunks = pictures.riff_chunks(pictures.encode(picture, "WEBP"))
    plane = b"\1" + stream(width, height, groups=groups)
    body = b"".join(_chunk(kind, plane if kind == b"ALPH" else raw) for kind, raw in chunks)
    return pictures.with_riff_size(b"RIFF0000WEBP" + body)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2)
