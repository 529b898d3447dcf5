"""Files that are odd but whole, as phones make them and every browser shows: taken."""

from __future__ import annotations

import re
import zlib

import pytest
from tests import pictures
from tests.golden.comparing import assert_looks_like, run
from tests.golden.files import SCENE, WHOLE, refuse

from image_service.pictures.processor import VipsProcessor


@pytest.mark.parametrize(
    "appended",
    [b"\0", b"PK\3\4" + bytes(3000), WHOLE["jpeg"]],
    ids=["a byte", "a zip", "a jpeg"],
)
@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "png", "webp", "webp lossless"])
async def test_bytes_behind_the_end_do_no_harm(
    processor: VipsProcessor, name: str, appended: bytes
) -> None:
    assert_looks_like((await run(processor, WHOLE[name] + appended)).main, SCENE)


@pytest.mark.parametrize("parameters", [b"\x00\x00\x00", b"\x00\x3f\x01", b"\x01\x02\x00"])
@pytest.mark.parametrize("name", ["jpeg", "jpeg 4:4:4", "jpeg restarts"])
async def test_scan_parameters_as_some_samsung_phones_write_them(
    processor: VipsProcessor, name: str, parameters: bytes
) -> None:
    data = pictures.with_scan_parameters(WHOLE[name], parameters)
    assert_looks_like((await run(processor, data)).main, SCENE)


async def test_samsungs_scan_parameters_do_not_excuse_damage(processor: VipsProcessor) -> None:
    data = pictures.with_scan_parameters(WHOLE["jpeg"], b"\x00\x00\x00")
    half = len(data) // 2
    await refuse(processor, data[:half])
    await refuse(processor, data[:half] + b"\xff\xd9")
    await refuse(processor, data[:half] + bytes(5000) + data[half + 5000 :])


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(b"\xff\xff\xff", id="filling"),
        pytest.param(b"\xff\xe0\x00\x10JFIF\0\x05\x05\0\0\x01\0\x01\0\0", id="JFIF version"),
        pytest.param(b"\xff\xe1\x00\x20Exif\0\0MM\0*" + b"\xff" * 20, id="broken EXIF"),
        pytest.param(b"\xff\xe2\x00\x08MPF\0xx", id="broken MPF"),
        pytest.param(b"\xff\xe2\x00\x20ICC_PROFILE\0\1\1" + bytes(16), id="broken profile"),
        pytest.param(b"\xff\xe2\x00\x20ICC_PROFILE\0\7\3" + bytes(16), id="profile in parts"),
        pytest.param(b"\xff\xed\x00\x08Photos", id="cut Photoshop block"),
        pytest.param(b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\x01", id="Adobe"),
        pytest.param(b"\xff\xef\x00\x02", id="empty APP15"),
        pytest.param(b"\xff\xfe\x00\x02", id="empty comment"),
    ],
)
@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive"])
async def test_odd_segments_do_no_harm(processor: VipsProcessor, name: str, segment: bytes) -> None:
    data = pictures.with_segment(WHOLE[name], segment)
    assert_looks_like((await run(processor, data)).main, SCENE)


@pytest.mark.parametrize(
    "transform", [2, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 3, 255))]
)
@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive"])
async def test_an_adobe_transform_that_three_components_cannot_have(
    processor: VipsProcessor, name: str, transform: int
) -> None:
    data = WHOLE[name]
    assert data[2:4] == b"\xff\xe0"  # with a JFIF header nobody would ask Adobe's
    data = data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + data[20:]
    assert_looks_like((await run(processor, data)).main, SCENE)


@pytest.mark.slow
@pytest.mark.parametrize("padding", [b"\0", b"\xff\0", b"\xff\0\xff\0", b"\xff"])
async def test_padded_restart_intervals(processor: VipsProcessor, padding: bytes) -> None:
    """As webcams write them; FF alone is filling, which every marker may have."""
    data = _padded(WHOLE["jpeg restarts"], padding)
    for odd in (data, pictures.without_tables(data)):
        assert_looks_like((await run(processor, odd)).main, SCENE)


async def test_padding_does_not_excuse_damage(processor: VipsProcessor) -> None:
    data = _padded(WHOLE["jpeg restarts"], b"\xff\0")
    half = len(data) // 2
    await refuse(processor, data[:half])
    await refuse(processor, data[:half] + b"\xff\xd9")
    await refuse(processor, data[:half] + data[half + 3000 :])
    await refuse(processor, _padded(WHOLE["jpeg restarts"], b"\xff\0" * 3))
    await refuse(processor, _padded(WHOLE["jpeg restarts"], b"\x12"))


def _padded(data: bytes, padding: bytes) -> bytes:
    scan = data.index(b"\xff\xda")
    return data[:scan] + re.sub(rb"\xff[\xd0-\xd7]", lambda m: padding + m[0], data[scan:])


async def test_padding_before_the_end_does_no_harm(processor: VipsProcessor) -> None:
    """Some cameras pad the pixel data; so what is left over of it can't count as damage."""
    odd = WHOLE["jpeg"][:-2] + bytes(300) + b"\xff\xd9"
    assert_looks_like((await run(processor, odd)).main, SCENE)


async def test_stray_bytes_do_no_harm_before_a_scan(processor: VipsProcessor) -> None:
    data = WHOLE["jpeg"]
    scan = data.index(b"\xff\xda")
    odd = data[:scan] + b"\0\1stray\xff\0" + data[scan:]
    assert_looks_like((await run(processor, odd)).main, SCENE)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"iCCP", b"x\0\0garbage"),
        (b"iCCP", b"x\0\0" + zlib.compress(b"\xee" * 300)),
        (b"gAMA", bytes(4)),
        (b"pHYs", bytes(9)),
        (b"tIME", bytes(7)),
        (b"eXIf", b"II*\0zzzz"),
        (b"sRGB", b"\x09"),
        (b"prVt", b"private"),
    ],
)
async def test_odd_chunks_do_no_harm(processor: VipsProcessor, chunk: tuple[bytes, bytes]) -> None:
    header, *rest = pictures.png_chunks(WHOLE["png"])
    data = pictures.png_of_chunks([header, chunk, chunk, *rest])
    assert_looks_like((await run(processor, data)).main, SCENE)


async def test_a_wrong_checksum_of_a_text_chunk_does_no_harm(processor: VipsProcessor) -> None:
    data = pictures.png_of_chunks([(b"tEXt", b"Comment\0x")])[8:]
    data = WHOLE["png"][:33] + data[:-1] + bytes([data[-1] ^ 1]) + WHOLE["png"][33:]
    assert_looks_like((await run(processor, data)).main, SCENE)


async def test_an_unknown_riff_chunk_does_no_harm(processor: VipsProcessor) -> None:
    data = pictures.with_riff_chunk(WHOLE["webp"], b"ABCD", b"odd")
    assert_looks_like((await run(processor, data)).main, SCENE)
