"""Padding at the ends of restart intervals, found by counting Huffman codes (T.81, F.2.2).

Some webcams end each interval on an even byte, with one byte more than its codes fill. Whether
its last byte is padding can't be seen from that byte: one interval in eight of sound files ends
in ones. So the codes are counted, for those intervals alone that end in a byte of ones or zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from typing import Final, TypeAlias

from image_service.pictures.formats.jpeg_tables import TYPICAL

_RESTART: Final = re.compile(rb"(\xff[\xd0-\xd7])")
_DHT, _DRI, _SOS = 0xC4, 0xDD, 0xDA
_SOF: Final = (0xC0, 0xC1)
_AC: Final = 0x10  # in the name of a table
_MOST_PADDING: Final = 2  # bytes
_PADDING: Final = frozenset(b"\0\xff")
# Of entropy-coded data in all; counting takes about a second for these. The tables of a scan
# take as long as 16 KiB.
_MAX_BYTES, _A_SCAN = 2**20, 2**14
_BLOCK: Final = 64
_END_OF_BLOCK, _SIXTEEN_ZEROS = 0x00, 0xF0
_AHEAD: Final = 2**16

# By the next 16 bits: the bits of a code and of the number behind it (0: there is no such
# code), and by how many coefficients it leads on.
_Table: TypeAlias = list[tuple[int, int]]
_NO_CODE: Final = (0, 0)


class Unpadder:
    """Is shown the segments of a file in their order, then asked for scans without padding."""

    def __init__(self) -> None:
        self._codes: dict[int, tuple[bytes, bytes]] = dict(TYPICAL)
        self._frame = b""
        self._interval = 0
        self._scan = b""
        self._left = _MAX_BYTES

    def see(self, marker: int, body: bytes) -> None:
        """`body` is a whole segment, marker and length included."""
        if marker == _DHT:
            self._codes.update(_codes(body[4:]))
        elif marker == _DRI:
            self._interval = int.from_bytes(body[4:6], "big")
        elif marker in _SOF:
            self._frame = body[4:]
        elif marker == _SOS:
            self._scan = body[4:]

    def trimmed(self, data: bytes) -> bytes:
        """The scan's `data` without up to two bytes of padding an interval; else as it is."""
        self._left -= len(data) + _A_SCAN
        parts = _RESTART.split(data)
        # A byte of ones is FF 00 there.
        doubtful = [at for at in range(0, len(parts), 2) if parts[at].endswith(b"\0")]
        if not doubtful or self._left < 0:
            return data
        try:
            blocks, mcus = self._layout()
            interval = self._interval or mcus
            intervals = ceil(mcus / interval)
        except (IndexError, KeyError, ValueError, ZeroDivisionError):
            return data  # no sound header; the decoder will find that too
        if len(parts) // 2 + 1 != intervals:
            return data
        for at in doubtful:
            inside = min(interval, mcus - at // 2 * interval)
            parts[at] = _without_padding(parts[at], blocks, inside)
        return b"".join(parts)

    def _layout(self) -> tuple[list[tuple[_Table, _Table]], int]:
        """The tables of each block of an MCU, and the number of MCUs (T.81, A.2)."""
        height, width = (int.from_bytes(self._frame[at : at + 2], "big") for at in (1, 3))
        factors = {
            self._frame[at]: (self._frame[at + 1] >> 4, self._frame[at + 1] & 0x0F)
            for at in range(6, 6 + 3 * self._frame[5], 3)
        }
        across, down = (max(both) for both in zip(*factors.values(), strict=True))
        selected = [self._scan[at : at + 2] for at in range(1, 1 + 2 * self._scan[0], 2)]
        names = {name for _, both in selected for name in (both >> 4, _AC | both & 0x0F)}
        tables = {name: _table(name, *self._codes[name]) for name in names}
        blocks: list[tuple[_Table, _Table]] = []
        for component, both in selected:
            h, v = factors[component]
            a_block = tables[both >> 4], tables[_AC | both & 0x0F]
            if len(selected) == 1:  # its blocks follow each other row by row
                rows, columns = ceil(height * v / down / 8), ceil(width * h / across / 8)
                return [a_block], rows * columns
            blocks += [a_block] * (h * v)
        return blocks, ceil(width / (8 * across)) * ceil(height / (8 * down))


def _codes(body: bytes) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """The name of each table of a DHT: how many codes of each length, and their symbols."""
    at = 0
    while at + 17 <= len(body):
        counts = body[at + 1 : at + 17]
        end = at + 17 + sum(counts)
        yield body[at], (counts, body[at + 17 : end])
        at = end


def _table(name: int, counts: bytes, symbols: bytes) -> _Table:
    table: _Table = []
    lengths = (length for length, count in enumerate(counts, 1) for _ in range(count))
    for length, symbol in zip(lengths, symbols, strict=False):
        if len(table) >= _AHEAD:
            break
        table += [_entry(name, length, symbol)] * (_AHEAD >> length)
    return (table + [_NO_CODE] * (_AHEAD - len(table)))[:_AHEAD]


def _entry(name: int, length: int, symbol: int) -> tuple[int, int]:
    if name < _AC:
        return length + symbol, 1
    if symbol in (_END_OF_BLOCK, _SIXTEEN_ZEROS):
        return length, _BLOCK if symbol == _END_OF_BLOCK else 16
    return length + (symbol & 0x0F), (symbol >> 4) + 1


def _without_padding(part: bytes, blocks: list[tuple[_Table, _Table]], mcus: int) -> bytes:
    data = part.replace(b"\xff\0", b"\xff")
    bits = _counted(data, blocks, mcus)
    end = ceil(bits / 8)
    padding = data[end:]
    if not bits or len(padding) not in range(1, _MOST_PADDING + 1) or set(padding) - _PADDING:
        return part
    return data[:end].replace(b"\xff", b"\xff\0")


def _counted(data: bytes, blocks: list[tuple[_Table, _Table]], mcus: int) -> int:
    """Returns how many bits the blocks of `mcus` take; 0 where they make no sense."""
    limit, position = 8 * len(data), 0
    data += bytes(3)
    for _ in range(mcus):
        for dc, ac in blocks:
            coefficient, table = 0, dc
            while coefficient < _BLOCK:
                at = position >> 3
                ahead = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                bits, step = table[ahead >> 8 - (position & 7) & 0xFFFF]
                position += bits
                if not bits or position > limit:
                    return 0
                coefficient, table = coefficient + step, ac
    return position
