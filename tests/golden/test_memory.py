"""Admission reckons with what a header says: it must never be less than what is taken."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest
from benchmarks.memory import KINDS, measure
from tests import pictures

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_takes_no_more_than_its_header_was_reckoned_to_cost(kind: str) -> None:
    cost = measure(KINDS[kind](1500))
    assert cost.taken <= cost.reckoned
    # And not far less, or there would be room for more of them.
    assert cost.reckoned <= 4 * cost.taken


def with_png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    return pictures.with_png_chunks(pictures.png(200, 200), *chunks)


_TEN_MEGABYTES = zlib.compress(bytes(10 * 2**20), 9)
TRICKS = {
    "PNG, texts of 10 MB": with_png_chunks(
        *((b"zTXt", b"k%d\0\0" % number + _TEN_MEGABYTES) for number in range(20)),
        *((b"iTXt", b"k%d\0\1\0\0\0" % number + _TEN_MEGABYTES) for number in range(20)),
    ),
    "PNG, profile of 45 MB": with_png_chunks(
        (b"iCCP", b"k\0\0" + zlib.compress(bytes(45 * 2**20), 9))
    ),
}


_NOTHING_LEAKS = """
import ctypes, gc
import _libvips
from tests.golden.files import WHOLE
from image_service.domain.renditions import RENDITIONS
from image_service.domain.errors import ImageServiceError
from image_service.pictures import libvips, pipeline
from image_service.pictures.header import PictureLimits
from image_service.pictures.header import read_header
from image_service.pictures.steps import Steps
libvips.configure()
held = ctypes.CDLL(_libvips.__file__).vips_tracked_get_allocs
for _ in range(2):
    for data in WHOLE.values():
        source = read_header(data, PictureLimits())
        for part in (data, data[: len(data) // 2], data[:-3]):
            try:
                pipeline.process(part, source, RENDITIONS, Steps())
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
