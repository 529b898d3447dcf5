"""Other types, animations, and files that are two things at once."""

from __future__ import annotations

import struct

import pytest
from PIL import Image
from tests import pictures
from tests.golden.comparing import assert_looks_like, run
from tests.golden.files import SCENE, WHOLE, refuse

from image_service.domain.errors import (
    AnimatedImage,
    InvalidDimensions,
    InvalidFileType,
    InvalidImage,
)
from image_service.domain.renditions import THUMBNAIL
from image_service.pictures.processor import VipsProcessor


@pytest.mark.parametrize(
    ("data", "measured"),
    [
        pytest.param(pictures.encode(SCENE, "GIF"), "image/gif", id="gif"),
        pytest.param(pictures.encode(SCENE, "TIFF"), "image/tiff", id="tiff"),
        pytest.param(pictures.encode(SCENE, "BMP"), "image/bmp", id="bmp"),
        pytest.param(pictures.encode(SCENE, "AVIF"), "image/avif", id="avif"),
        pytest.param(pictures.encode(SCENE, "PDF"), "application/pdf", id="pdf"),
        pytest.param(pictures.encode(SCENE, "PPM"), "unknown", id="ppm"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", id="svg"),
        pytest.param(b"GIF89a" + WHOLE["jpeg"], "image/gif", id="jpeg behind gif"),
        pytest.param(b"%PDF-1.7\n" + WHOLE["png"], "application/pdf", id="png behind pdf"),
        pytest.param(b"<html>" + WHOLE["webp"], "text/html", id="webp behind html"),
        pytest.param(b"\0" + WHOLE["jpeg"], "unknown", id="jpeg behind a byte"),
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"\xff", "unknown", id="a byte"),
    ],
)
async def test_other_types_are_refused(
    processor: VipsProcessor, data: bytes, measured: str
) -> None:
    with pytest.raises(InvalidFileType) as refusal:
        await processor.inspect(data)
    assert refusal.value.details["measured"] == measured


@pytest.mark.parametrize(
    "payload",
    [b"PK\3\4 a zip", b"<html><script>alert(1)</script></html>", b"%PDF-1.7 a pdf"],
)
@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
async def test_of_two_things_at_once_only_the_picture_is_kept(
    processor: VipsProcessor, name: str, payload: bytes
) -> None:
    result = await run(processor, WHOLE[name] + payload)
    assert_looks_like(result.main, SCENE)
    assert payload not in result.main.data
    assert payload not in result.pictures[THUMBNAIL].data


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"])
@pytest.mark.parametrize("rest", [b"", bytes(9), b"\xff" * 9, b"<svg></svg>", b"VP8 " * 9])
async def test_a_signature_makes_no_picture(
    processor: VipsProcessor, signature: bytes, rest: bytes
) -> None:
    with pytest.raises((InvalidImage, InvalidDimensions)):
        await run(processor, signature + rest)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
async def test_animations_are_refused_not_flattened(
    processor: VipsProcessor, file_format: str
) -> None:
    with pytest.raises(AnimatedImage, match="an animation of 3 frames") as refusal:
        await processor.inspect(pictures.animated(file_format))
    assert refusal.value.details == {"measured": {"frames": 3}, "limit": {"maxFrames": 1}}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pictures.with_frames("PNG", 1), id="png"),
        pytest.param(pictures.with_frames("PNG", 1, announced=0), id="png of none"),
        pytest.param(pictures.with_frames("PNG", 1, announced=3), id="png without the others"),
        pytest.param(pictures.with_frames("WEBP", 1), id="webp"),
    ],
)
async def test_an_animation_of_one_frame_is_a_still(processor: VipsProcessor, data: bytes) -> None:
    assert_looks_like((await run(processor, data)).main, pictures.scene(200, 150))


async def test_an_animation_of_no_frames_is_no_picture(processor: VipsProcessor) -> None:
    await refuse(processor, pictures.with_frames("WEBP", 0))


async def test_an_animation_that_hides_its_flag_is_no_picture(processor: VipsProcessor) -> None:
    data = bytearray(pictures.animated("WEBP"))
    data[20] &= ~0x02
    await refuse(processor, bytes(data))


async def test_an_animation_hidden_behind_many_chunks(processor: VipsProcessor) -> None:
    header, *rest = pictures.png_chunks(pictures.animated("PNG"))
    data = pictures.png_of_chunks([header, *[(b"tEXt", b"a\0b")] * 500, *rest])
    with pytest.raises(AnimatedImage):
        await processor.inspect(data)


async def test_a_file_that_changed_its_mind_is_judged_by_what_is_decoded(
    processor: VipsProcessor,
) -> None:
    """Two frame headers: the size that is checked is the size that counts."""
    small, large = pictures.jpeg(200, 200), pictures.encode(Image.new("RGB", (9000, 200)), "JPEG")
    frame = small.index(b"\xff\xc0")
    other = large.index(b"\xff\xc0")
    length = 2 + struct.unpack(">H", large[other + 2 : other + 4])[0]
    data = small[:frame] + large[other : other + length] + small[frame:]
    with pytest.raises((InvalidDimensions, InvalidImage)):
        await run(processor, data)
