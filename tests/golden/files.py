"""Intact files to damage in tests, and what must come of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests import pictures
from tests.golden.comparing import run

from image_service.domain.errors import (
    InvalidImage,
)
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.pictures.processor import VipsProcessor

SCENE = pictures.textured()
WHOLE: dict[str, bytes] = {
    "jpeg": pictures.jpeg(),
    "jpeg 4:4:4": pictures.jpeg(subsampling="4:4:4"),
    "jpeg progressive": pictures.jpeg(progressive=True),
    "jpeg grey": pictures.encode(SCENE.convert("L"), "JPEG"),
    "jpeg restarts": pictures.jpeg(restart_marker_rows=1),
    "png": pictures.png(),
    "png interlaced": pictures.png_of_pixels(SCENE, interlaced=True),
    "png deep": pictures.png_of_pixels(SCENE, deep=True),
    "webp": pictures.webp(),
    "webp lossless": pictures.webp(lossless=True),
    "webp alpha": pictures.encode(pictures.scene(mode="RGBA"), "WEBP"),
    "webp metadata": pictures.with_all_metadata("WEBP"),
}
JPEGS = [name for name in WHOLE if name.startswith("jpeg")]


async def refuse(
    processor: VipsProcessor, data: bytes, specs: Sequence[RenditionSpec] = RENDITIONS
) -> None:
    with pytest.raises(InvalidImage):
        await run(processor, data, specs)
