"""Nothing that was not seen in the picture is in what is stored."""

from __future__ import annotations

import pytest
from tests import pictures
from tests.golden.comparing import opened, run

from image_service.pictures.processor import VipsProcessor

PICTURE_CHUNKS = {b"VP8X", b"ALPH", b"VP8 ", b"VP8L"}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
async def test_no_metadata_is_stored(processor: VipsProcessor, file_format: str) -> None:
    data = pictures.with_all_metadata(file_format)
    inside = [marker for marker in pictures.METADATA_MARKERS if marker in data]
    assert len(inside) == len(pictures.METADATA_MARKERS) - (file_format == "PNG")  # ICC is packed
    result = await run(processor, data)
    for stored in result.pictures.values():
        assert {kind for kind, _ in pictures.riff_chunks(stored.data)} <= PICTURE_CHUNKS
        for secret in (*pictures.METADATA_MARKERS, b"Exif", b"EXIF", b"XMP ", b"ICCP", b"acsp"):
            assert secret not in stored.data
        image = opened(stored)
        assert not image.getexif()
        assert not {"icc_profile", "xmp", "exif", "comment"} & image.info.keys()


async def test_flags_of_a_transparent_picture_announce_alpha_alone(
    processor: VipsProcessor,
) -> None:
    exif = pictures.encode(pictures.scene(mode="RGBA"), "PNG", icc_profile=b"\0" * 200)
    for stored in (await run(processor, exif)).pictures.values():
        kind, body = pictures.riff_chunks(stored.data)[0]
        assert kind == b"VP8X"
        assert body[0] == 0x10
