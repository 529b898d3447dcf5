"""Transparency of PNG files by tRNS: one colour of grey or RGB, or an alpha for each index."""

from __future__ import annotations

import struct
import zlib

import pytest
from tests import pictures
from tests.golden.comparing import opened, run

from image_service.pictures.processor import VipsProcessor

GREY, COLOUR, PALETTE = 0, 2, 3
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
_WIDTH, _HEIGHT = 203, 141  # no whole number of bytes in a row, whatever the depth


def halves(kind: int, depth: int, left: int, right: int, trns: bytes, *, interlaced: bool) -> bytes:
    """A PNG of the sample `left` in its left half, of `right` in its other."""
    samples = 3 if kind == COLOUR else 1

    def row(columns: range) -> bytes:
        bits = "".join(f"{left if x < _WIDTH // 2 else right:0{depth}b}" * samples for x in columns)
        return b"\0" + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))

    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(
        row(range(x, _WIDTH, step_x)) * len(range(y, _HEIGHT, step_y))
        for x, y, step_x, step_y in passes
    )
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, depth, kind, 0, 0, int(interlaced))
    palette = [(b"PLTE", bytes((200, 0, 0, 0, 0, 200)))] if kind == PALETTE else []
    return pictures.png_of_chunks(
        [(b"IHDR", header), *palette, (b"tRNS", trns), (b"IDAT", zlib.compress(raw)),
         (b"IEND", b"")]
    )  # fmt: skip


def _cases() -> list[tuple[int, int, int, int, bytes]]:
    cases = []
    for depth in (1, 2, 4, 8, 16):
        most = 2**depth - 1
        cases += [(GREY, depth, 0, most, struct.pack(">H", 0))]
        cases += [(GREY, depth, most, 0, struct.pack(">H", most))]
        # Only the lowest bits count; some encoders write white as 255 whatever the depth.
        cases += [(GREY, depth, most, 0, struct.pack(">H", 0xFF if depth < 16 else most))]
        if depth >= 8:
            cases += [(COLOUR, depth, most, 0, struct.pack(">HHH", most, most, most))]
        if depth <= 8:
            cases += [(PALETTE, depth, 0, 1, b"\0")]
    return cases


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "interlaced"])
@pytest.mark.parametrize("case", _cases())
async def test_a_transparent_colour_stays_transparent(
    processor: VipsProcessor, case: tuple[int, int, int, int, bytes], *, interlaced: bool
) -> None:
    data = halves(*case, interlaced=interlaced)
    result = await run(processor, data)
    for picture in result.pictures.values():
        alpha = opened(picture).getchannel("A")
        middle = picture.height // 2
        assert alpha.getpixel((10, middle)) == 0
        assert alpha.getpixel((picture.width - 10, middle)) == 255
