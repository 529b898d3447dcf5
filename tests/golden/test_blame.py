"""Blame: a file is damaged by its loader's report alone, all else is ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pyvips
from tests.golden.files import SCENE, WHOLE

from image_service.domain.errors import ProcessingFailed
from image_service.domain.pictures import MimeType, SourceInfo
from image_service.pictures import library
from image_service.pictures.limits import EncodingOptions
from image_service.pictures.pipeline import process
from image_service.pictures.steps import Steps


@pytest.fixture(params=["VipsResize", "VipsBandjoinConst"])
def _failing_operation(request: pytest.FixtureRequest) -> Iterator[None]:
    """An operation of libvips that fails, whatever the picture."""
    library.configure()
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
        process(WHOLE[name], source, EncodingOptions(main_size=300), Steps())
