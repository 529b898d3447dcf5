"""Admission reckons with what a header says: it must never be less than what is taken."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest
from benchmarks.memory import KINDS, measure
from tests import pictures


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_takes_no_more_than_its_header_was_reckoned_to_cost(kind: str) -> None:
    cost = measure(KINDS[kind](1500))
    assert cost.taken <= cost.reckoned
    # And not far less, or there would be room for more of them.
    assert cost.reckoned <= 4 * cost.taken


def with_png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    header, *rest = pictures.png_chunks(pictures.png(200, 200))
    return pictures.png_of_chunks([header, *chunks, *rest])


def hidden_by_segments(data: bytes) -> bytes:
    """More of them than are looked at, ahead of those that tell what it costs."""
    return data[:2] + b"\xff\xfe\0\2" * 10_001 + data[2:]


def hidden_by_chunks(data: bytes) -> bytes:
    """The same for a lossless WebP, which has to be an extended file for it."""
    size = 1500 - 1
    extended = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + size.to_bytes(3, "little") * 2
    junk = (b"JUNK" + bytes(4)) * 1_001
    return pictures.with_riff_size(data[:12] + extended + junk + data[12:])


_TEN_MEGABYTES = zlib.compress(bytes(10 * 2**20), 9)
TRICKS = {
    "PNG, texts of 10 MB": with_png_chunks(
        *((b"zTXt", b"k%d\0\0" % number + _TEN_MEGABYTES) for number in range(20)),
        *((b"iTXt", b"k%d\0\1\0\0\0" % number + _TEN_MEGABYTES) for number in range(20)),
    ),
    "PNG, profile of 45 MB": with_png_chunks(
        (b"iCCP", b"k\0\0" + zlib.compress(bytes(45 * 2**20), 9))
    ),
    "JPEG, progressive 4:4:4, hidden": hidden_by_segments(KINDS["JPEG, progressive 4:4:4"](1500)),
    "WebP, lossless, hidden": hidden_by_chunks(KINDS["WebP, lossless"](1500)),
}


_NOTHING_LEAKS = """
import ctypes, gc
import _libvips
from tests.golden.files import WHOLE
from image_service.domain.errors import ImageServiceError
from image_service.pictures import library, pipeline
from image_service.pictures.limits import EncodingOptions, PictureLimits
from image_service.pictures.probe import probe
from image_service.pictures.steps import Steps
library.configure()
held = ctypes.CDLL(_libvips.__file__).vips_tracked_get_allocs
for _ in range(2):
    for data in WHOLE.values():
        source = probe(data, PictureLimits())
        for part in (data, data[: len(data) // 2], data[:-3]):
            try:
                pipeline.process(part, source, EncodingOptions(), Steps())
            except ImageServiceError:
                pass
    gc.collect()
    print(held())
"""


def test_libvips_gives_back_what_it_took() -> None:
    command = [sys.executable, "-c", _NOTHING_LEAKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    once, twice = done.stdout.split()
    assert once == twice


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_makes_it_take_more(trick: str) -> None:
    cost = measure(TRICKS[trick])
    assert cost.taken <= cost.reckoned
