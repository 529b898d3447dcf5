"""The processor under test, and the check that libvips gives back what it took."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import _libvips
import pytest

from image_service.pictures import EncodingOptions, PictureLimits, VipsProcessor


@pytest.fixture(scope="package", autouse=True)
def _nothing_leaks() -> Iterator[None]:
    """What libvips has allocated after all golden tests is what it had before."""
    libvips = ctypes.CDLL(_libvips.__file__)
    gc.collect()
    before = libvips.vips_tracked_get_allocs()
    yield
    gc.collect()
    assert libvips.vips_tracked_get_allocs() == before, "libvips still holds memory"


@pytest.fixture(scope="package")
def processor(_nothing_leaks: None) -> Iterator[VipsProcessor]:
    processor = VipsProcessor(limits=PictureLimits(), options=EncodingOptions(), worker_threads=2)
    yield processor
    processor.close()
