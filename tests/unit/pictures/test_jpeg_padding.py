"""Padding of restart intervals: what encoders add goes, and nothing else does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import pictures

from image_service.pictures.formats import jpeg

_MARKER = re.compile(rb"(\xff[\xd0-\xd7\xd9])")
GREY = pictures.textured(200, 150).convert("L")
SOUND = {
    "blocks": pictures.jpeg(200, 150, restart_marker_blocks=1),
    "five": pictures.jpeg(200, 150, restart_marker_blocks=5),
    "rows": pictures.jpeg(203, 149, restart_marker_rows=1),
    "4:4:4": pictures.jpeg(200, 150, restart_marker_blocks=7, subsampling="4:4:4"),
    "optimised": pictures.jpeg(200, 150, restart_marker_blocks=3, optimize=True),
    "grey": pictures.encode(GREY, "JPEG", restart_marker_rows=1),
    "ink": pictures.encode(Image.new("CMYK", (200, 150), (9, 99, 199, 50)), "JPEG",
                           restart_marker_blocks=4),
    "flat": pictures.encode(Image.new("RGB", (200, 150)), "JPEG", restart_marker_blocks=2),
    "one interval": pictures.jpeg(200, 150),
}  # fmt: skip


def padded(data: bytes, padding: Callable[[bytes], bytes]) -> bytes:
    """`data` with `padding` of each interval put behind it."""
    scan = data.index(b"\xff\xda") + 14
    parts = _MARKER.split(data[scan:])
    for at in range(0, len(parts) - 1, 2):
        parts[at] += padding(parts[at])
    return data[:scan] + b"".join(parts)


def _to_even(part: bytes) -> bytes:
    """As webcams do it: a byte of ones behind each odd number of bytes."""
    return b"\xff\0" if len(part) % 2 else b""


PADDING: dict[str, Callable[[bytes], bytes]] = {
    "ones": lambda _: b"\xff\0",
    "zeros": lambda _: b"\0",
    "two of ones": lambda _: b"\xff\0\xff\0",
    "two of zeros": lambda _: b"\0\0",
    "to an even byte": _to_even,
    "some": lambda part: random.Random(len(part)).choice([b"", b"\xff\0", b"\0", b"\0\xff\0"]),
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("name", SOUND)
def test_padding_goes_to_the_byte(name: str, padding: str) -> None:
    odd = padded(SOUND[name], PADDING[padding])
    assert jpeg.without_oddities(odd) == SOUND[name]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_keeps_every_byte(name: str) -> None:
    assert jpeg.without_oddities(SOUND[name]) == SOUND[name]


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("name", ["blocks", "4:4:4", "grey", "one interval"])
def test_padding_goes_from_files_that_leave_out_the_usual_tables(name: str, padding: str) -> None:
    sound = pictures.without_tables(SOUND[name])
    assert jpeg.without_oddities(padded(sound, PADDING[padding])) == sound


@pytest.mark.parametrize("more", [b"\x12", b"\0\0\0", b"\xff\0" * 3, b"\x12\0"])
def test_what_is_more_than_padding_stays(more: bytes) -> None:
    odd = padded(SOUND["five"], lambda _: more)
    assert jpeg.without_oddities(odd) == odd


def test_without_its_tables_nothing_is_counted() -> None:
    """The usual ones are not those of an optimised file."""
    odd = padded(pictures.without_tables(SOUND["optimised"]), lambda _: b"\0")
    assert jpeg.without_oddities(odd) == odd


def test_of_too_much_data_nothing_is_counted() -> None:
    data = pictures.jpeg(1600, 1600, restart_marker_rows=1, quality=100, subsampling="4:4:4")
    assert len(data) > 2**20
    odd = padded(data, lambda _: b"\0")
    assert jpeg.without_oddities(odd) == odd


@given(st.data())
def test_no_header_is_too_odd(data: st.DataObject) -> None:
    odd = bytearray(padded(SOUND["five"], lambda _: b"\xff\0"))
    for _ in range(data.draw(st.integers(1, 8))):
        odd[data.draw(st.integers(2, 700))] = data.draw(st.integers(0, 255))
    jpeg.without_oddities(bytes(odd))


@pytest.mark.parametrize(
    ("data", "transform", "becomes"),
    [
        *((pictures.jpeg(200, 150), odd, 1) for odd in (2, 3, 255)),
        *((SOUND["ink"], odd, 2) for odd in (1, 3, 255)),
        *((pictures.jpeg(200, 150), known, known) for known in (0, 1)),
        *((SOUND["ink"], known, known) for known in (0, 2)),
        (SOUND["grey"], 2, 2),
    ],
)
def test_an_adobe_transform_fits_its_components(data: bytes, transform: int, becomes: int) -> None:
    def marked(value: int) -> bytes:
        return pictures.with_segment(data, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([value]))

    assert jpeg.without_oddities(marked(transform)) == marked(becomes)


def test_a_cut_adobe_marker_stays() -> None:
    data = pictures.with_segment(SOUND["five"], b"\xff\xee\0\x0bAdobe\0\x64\0\0")
    assert jpeg.without_oddities(data) == data
