"""Truncated and corrupt files: refused, never half a picture."""

from __future__ import annotations

import zlib

import pytest
from tests import pictures
from tests.golden.comparing import run
from tests.golden.files import JPEGS, SCENE, WHOLE, refuse

from image_service.domain.errors import InvalidImage
from image_service.pictures.processor import VipsProcessor

NO_PICTURE = {
    "jpeg": b"\xff\xd8\xff" + b"\xff" * 20,
    "jpeg of text": b"\xff\xd8\xff, as the form said",
    "jpeg of nothing": b"\xff\xd8\xff\xd9",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "webp": b"RIFF\x20\0\0\0WEBP" + b"zzzz" + bytes(24),
}


def zeroed(data: bytes, percent: int = 20) -> bytes:
    start, length = len(data) * percent // 100, len(data) // 20
    return data[:start] + bytes(length) + data[start + length :]


@pytest.mark.parametrize(
    ("data", "reason", "least", "words"),
    [
        *(
            pytest.param(WHOLE[name][:1000], "truncated", 1001, "ends after 1000 bytes", id=name)
            for name in WHOLE
        ),
        pytest.param(WHOLE["png"][:-5], "truncated", len(WHOLE["png"]), "at least", id="png end"),
        pytest.param(WHOLE["webp"][:-5], "truncated", len(WHOLE["webp"]), "at least", id="webp -5"),
        pytest.param(WHOLE["jpeg"][:-2], "truncated", len(WHOLE["jpeg"]), "at least", id="jpeg -2"),
        *(
            pytest.param(zeroed(data), "damaged", None, "data is damaged", id=f"{name} zeroed")
            for name, data in WHOLE.items()
            if name in ("jpeg restarts", "png", "png deep", "png interlaced")
        ),
        pytest.param(
            WHOLE["jpeg"][:9000] + b"\xff\xd9", "damaged", None, "9002 bytes", id="jpeg with an end"
        ),
        pytest.param(
            pictures.with_chunk_size(WHOLE["webp"][:9000]), "damaged", None, "damaged", id="webp"
        ),
        *(
            pytest.param(data, "noPicture", None, "no picture in its", id=name)
            for name, data in NO_PICTURE.items()
        ),
    ],
)
async def test_a_refusal_says_what_is_wrong_with_a_file(
    processor: VipsProcessor, data: bytes, reason: str, least: int | None, words: str
) -> None:
    with pytest.raises(InvalidImage, match=words) as refusal:
        await run(processor, data)
    details = refusal.value.details
    assert (details["reason"], details["measured"]) == (reason, {"bytes": len(data)})
    if least is None:
        assert details["limit"] is None
    else:
        assert least <= details["limit"]["minBytes"]


@pytest.mark.parametrize("percent", [*range(1, 100, 7), 99])
@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_cut_short_is_refused(
    processor: VipsProcessor, name: str, percent: int
) -> None:
    data = WHOLE[name]
    await refuse(processor, data[: max(16, len(data) * percent // 100)])


@pytest.mark.parametrize("missing", [1, 2, 3, 12, 13, 100])
@pytest.mark.parametrize("name", WHOLE)
async def test_not_even_the_last_byte_may_be_missing(
    processor: VipsProcessor, name: str, missing: int
) -> None:
    await refuse(processor, WHOLE[name][:-missing])


@pytest.mark.parametrize("percent", range(10, 100, 10))
@pytest.mark.parametrize("name", JPEGS)
async def test_an_end_put_behind_a_cut_jpeg_hides_nothing(
    processor: VipsProcessor, name: str, percent: int
) -> None:
    data = WHOLE[name]
    await refuse(processor, data[: len(data) * percent // 100] + b"\xff\xd9")


@pytest.mark.parametrize("percent", [20, 50, 80])
@pytest.mark.parametrize("name", JPEGS)
async def test_a_jpeg_with_a_piece_cut_out_is_refused(
    processor: VipsProcessor, name: str, percent: int
) -> None:
    data = WHOLE[name]
    start, length = len(data) * percent // 100, len(data) // 20
    await refuse(processor, data[:start] + data[start + length :])


@pytest.mark.parametrize("percent", [20, 50, 80])
@pytest.mark.parametrize("name", [name for name in JPEGS if name != "jpeg 4:4:4"])
async def test_a_jpeg_with_a_piece_zeroed_is_refused(
    processor: VipsProcessor, name: str, percent: int
) -> None:
    """Seen by the pixels that are missing at the end; the 4:4:4 file happens to have enough."""
    await refuse(processor, zeroed(WHOLE[name], percent))


@pytest.mark.parametrize("scan", ["ffda", "ffda0002", "ffda0002ffd9", "ffda000301", "ffda00030111"])
async def test_a_jpeg_whose_scan_header_is_cut_is_refused(
    processor: VipsProcessor, scan: str
) -> None:
    frame = bytes.fromhex("ffd8 ffc0 000b 08 0080 0080 01 01 11 00")
    await refuse(processor, frame + bytes.fromhex(scan))


async def test_restart_markers_out_of_their_order_are_damage(processor: VipsProcessor) -> None:
    data = WHOLE["jpeg restarts"]
    second = data.index(b"\xff\xd1", data.index(b"\xff\xda"))
    await refuse(processor, data[:second] + b"\xff\xd4" + data[second + 2 :])


async def test_a_progression_that_skips_a_step_is_damage(processor: VipsProcessor) -> None:
    """A scan that refines what no scan has begun."""
    data = WHOLE["jpeg progressive"]
    scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    assert data[end - 1] >> 4 == 0
    begun_higher = (data[end - 1] + 1) << 4 | data[end - 1]
    await refuse(processor, data[: end - 1] + bytes([begun_higher]) + data[end:])


@pytest.mark.parametrize("name", ["png", "png interlaced", "png deep"])
async def test_any_changed_pixel_byte_of_a_png_is_refused(
    processor: VipsProcessor, name: str
) -> None:
    data = WHOLE[name]
    for percent in (5, 50, 95):
        place = len(data) * percent // 100
        await refuse(processor, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


async def test_a_changed_png_header_is_refused(processor: VipsProcessor) -> None:
    data = WHOLE["png"]
    await refuse(processor, data[:19] + b"\xff" + data[20:])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw[: len(raw) // 2], id="half the rows"),
        pytest.param(lambda raw: raw[:-1], id="the last byte missing"),
    ],
)
async def test_a_png_with_pixels_missing_but_checksums_right(
    processor: VipsProcessor, change
) -> None:
    header, pixels, end = pictures.png_chunks(pictures.png_of_pixels(SCENE))
    raw = zlib.compress(change(zlib.decompress(pixels[1])))
    await refuse(processor, pictures.png_of_chunks([header, (b"IDAT", raw), end]))


@pytest.mark.parametrize("percent", [25, 50, 75, 95])
@pytest.mark.parametrize("name", ["webp", "webp lossless"])
async def test_a_cut_webp_with_its_sizes_mended(
    processor: VipsProcessor, name: str, percent: int
) -> None:
    data = WHOLE[name]
    await refuse(processor, pictures.with_chunk_size(data[: len(data) * percent // 100]))


@pytest.mark.parametrize("size", [0, 12, 2**32 - 1])
async def test_a_webp_of_a_wrong_size(processor: VipsProcessor, size: int) -> None:
    await refuse(processor, pictures.with_riff_size(WHOLE["webp"], size))
