"""Blame: a file is damaged by its loader's report alone, all else is ours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
import pyvips
from tests.golden.files import SCENE, WHOLE

from image_service.domain.errors import InvalidImage, ProcessingFailed
from image_service.domain.pictures import MimeType, SourceInfo
from image_service.domain.renditions import RENDITIONS
from image_service.pictures import libvips
from image_service.pictures.pipeline import process
from image_service.pictures.steps import Steps


@pytest.fixture(params=["VipsResize", "VipsBandjoinConst"])
def _failing_operation(request: pytest.FixtureRequest) -> Iterator[None]:
    """An operation of libvips that fails, whatever the picture."""
    libvips.configure()
    pyvips.operation_block_set(request.param, True)
    yield
    pyvips.operation_block_set(request.param, False)


@pytest.mark.usefixtures("_failing_operation")
@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("png deep", "image/png"),
        ("webp", "image/webp"),
    ],
)
def test_a_failure_of_our_own_is_not_called_damage(name: str, mime_type: MimeType) -> None:
    source = SourceInfo(mime_type, *SCENE.size)
    with pytest.raises(ProcessingFailed):
        process(WHOLE[name], source, [replace(RENDITIONS[0], side=300)], Steps())


def test_a_header_that_its_own_pixels_contradict_is_damage() -> None:
    """libvips drops a damaged tRNS once it decodes, and then misses the alpha it announced."""
    libvips.configure()
    palette = SCENE.quantize(16)
    out = io.BytesIO()
    palette.save(out, "PNG", transparency=0)
    data = bytearray(out.getvalue())
    chunk = data.index(b"tRNS")
    length = int.from_bytes(data[chunk - 4 : chunk], "big")
    data[chunk + 4 + length] ^= 0xFF  # its checksum
    with pytest.raises(InvalidImage):
        process(bytes(data), SourceInfo("image/png", *SCENE.size), RENDITIONS, Steps())
