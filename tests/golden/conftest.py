"""The processor under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor


@pytest.fixture(scope="package")
def processor() -> Iterator[VipsProcessor]:
    processor = VipsProcessor(limits=PictureLimits(), worker_threads=2)
    yield processor
    processor.close()
