"""Format and size of a file, without decoding it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import pictures

from image_service.domain.errors import InvalidFileType, InvalidImage
from image_service.pictures.formats import jpeg, png, webp
from image_service.pictures.formats.signatures import detect
from image_service.pictures.plan import Size

JPEG = pictures.jpeg(320, 200)
PROGRESSIVE = pictures.jpeg(320, 200, progressive=True)
PNG = pictures.png(320, 200)
WEBP = pictures.webp(320, 200)


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [(JPEG, "image/jpeg"), (PNG, "image/png"), (pictures.webp(), "image/webp")],
)
def test_supported_types_are_told_by_their_first_bytes(data: bytes, mime_type: str) -> None:
    assert detect(data) == mime_type


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GIF89a....", "image/gif"),
        (b"BM......", "image/bmp"),
        (b"II*\0....", "image/tiff"),
        (b"MM\0*....", "image/tiff"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\0\0\0\x18ftypheic....", "image/heic"),
        (b"\0\0\0\x18ftypavif....", "image/avif"),
        (b"\0\0\0\x18ftypisom....", "video/mp4"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<SVG/>", "image/svg+xml"),
        (b"<!DOCTYPE html><p>", "text/html"),
        (b"PK\x03\x04....", "application/zip"),
        (b"RIFF\0\0\0\0WAVEfmt ", "unknown"),
        (b"\xff\xd8", "unknown"),
        (b"\x89PNG\r\n\x1a", "unknown"),
        (b"hello <svg", "unknown"),
    ],
)
def test_other_types_are_refused_and_named(data: bytes, name: str) -> None:
    with pytest.raises(InvalidFileType, match="Only JPEG, PNG and WebP images") as e:
        detect(data)
    assert e.value.details == {
        "measured": name,
        "limit": ["image/jpeg", "image/png", "image/webp"],
    }


@pytest.mark.parametrize(
    ("size_of", "data"),
    [
        (jpeg.declared_size, JPEG),
        (jpeg.declared_size, PROGRESSIVE),
        (jpeg.declared_size, pictures.with_all_metadata("JPEG")),
        (png.declared_size, PNG),
        (webp.declared_size, pictures.webp(320, 200)),
        (webp.declared_size, pictures.webp(320, 200, lossless=True)),
        (webp.declared_size, pictures.encode(pictures.scene(320, 200, "RGBA"), "WEBP")),
    ],
)
def test_the_declared_size_is_found(size_of: Callable[[bytes], Size | None], data: bytes) -> None:
    expected = (640, 400) if b"MARKER-EXIF" in data else (320, 200)
    assert size_of(data) == expected


@given(st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff", PNG[:8], b"RIFF0000WEBPVP8X"]))
def test_garbage_behind_a_signature_is_survived(garbage: bytes, signature: bytes) -> None:
    data = signature + garbage
    for module in (jpeg, png, webp):
        module.declared_size(data)
    png.is_animated(data)
    png.is_whole(data)
    webp.is_animated(data)
    jpeg.without_oddities(data)


def test_animation_is_told_from_the_header() -> None:
    assert png.is_animated(pictures.animated("PNG"))
    assert webp.is_animated(pictures.animated("WEBP"))
    assert not png.is_animated(PNG)
    assert not webp.is_animated(pictures.encode(pictures.scene(mode="RGBA"), "WEBP"))


def test_an_actl_behind_the_pixels_makes_no_animation() -> None:
    chunks = pictures.png_chunks(PNG)
    late = pictures.png_of_chunks([*chunks[:-1], (b"acTL", bytes(8)), chunks[-1]])
    assert not png.is_animated(late)


def test_a_png_is_whole_with_its_iend() -> None:
    assert png.is_whole(PNG)
    assert png.is_whole(PNG + b"more")
    assert not png.is_whole(PNG[:-1])
    assert not png.is_whole(pictures.png_of_chunks(pictures.png_chunks(PNG)[:-1]))


@pytest.mark.parametrize("look", [png.is_whole, png.is_animated, png.without_extras])
def test_an_endless_row_of_chunks_is_not_followed(look: Callable[[bytes], object]) -> None:
    chunks = pictures.png_chunks(PNG)
    many = pictures.png_of_chunks([chunks[0], *[(b"teXt", b"")] * 20_000, *chunks[1:]])
    with pytest.raises(InvalidImage):
        look(many)
    some = pictures.png_of_chunks([chunks[0], *[(b"teXt", b"")] * 10_000, *chunks[1:]])
    look(some)


def test_a_png_loses_what_no_pixel_needs() -> None:
    header, *rest = pictures.png_chunks(PNG)
    profile = b"a name\0\0" + zlib.compress(bytes(3_000_000))
    seen = [(b"gAMA", bytes(4)), (b"iCCP", profile), (b"eXIf", b"MM" + bytes(60_000))]
    data = pictures.png_of_chunks([header, *seen, *rest])
    assert png.without_extras(data) == data

    unseen = [
        (b"zTXt", b"k\0\0" + zlib.compress(b"text")),
        (b"iCCP", b"k\0\0" + zlib.compress(bytes(5_000_000))),
        (b"iCCP", b"k\0\0no stream"),
        (b"iCCP", b"no end of the name"),
        (b"eXIf", bytes(70_000)),
        (b"prVt", b"private"),
    ]
    padded = pictures.png_of_chunks([header, unseen[0], *seen, *unseen[1:], *rest, unseen[0]])
    assert png.without_extras(padded) == data + pictures.chunk(*unseen[0])  # behind the end
    critical = pictures.png_of_chunks([header, (b"ABCD", b"?"), *rest])
    assert png.without_extras(critical) == critical  # for the decoder to refuse


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\0", b"?"])
def test_stray_bytes_are_passed_over_up_to_a_limit(filler: bytes) -> None:
    some, many = (JPEG[:2] + filler * times + JPEG[2:] for times in (30_000, 70_000))
    assert jpeg.declared_size(some) == jpeg.declared_size(JPEG)
    assert jpeg.declared_size(many) is None


def test_what_is_not_found_is_reckoned_to_be_dear() -> None:
    padding = b"\xff\xfe\0\2"
    assert jpeg.held_bytes_a_pixel(PROGRESSIVE[:2] + padding * 1_000 + PROGRESSIVE[2:]) < 8
    assert jpeg.held_bytes_a_pixel(PROGRESSIVE[:2] + padding * 10_000 + PROGRESSIVE[2:]) == 8
    assert webp.held_bytes_a_pixel(WEBP) == 0
    junk = (b"JUNK" + bytes(4)) * 1_001
    assert webp.held_bytes_a_pixel(WEBP[:12] + junk + WEBP[12:]) == 4


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, pictures.jpeg(restart_marker_blocks=4)])
def test_a_jpeg_without_oddities_stays_as_it_is(data: bytes) -> None:
    assert jpeg.without_oddities(data) == data


def test_oddities_go_and_nothing_else() -> None:
    scan = JPEG.index(b"\xff\xda")
    odd = pictures.with_scan_parameters(JPEG, b"\x00\x00\x00")
    odd = odd[:scan] + b"\0stray\xff\0\xff\xff" + odd[scan:] + b"appended"
    odd = odd.replace(b"JFIF\0\1", b"JFIF\0\7")
    assert jpeg.without_oddities(odd) == JPEG


def test_scan_parameters_of_a_progressive_jpeg_are_its_own() -> None:
    odd = pictures.with_scan_parameters(PROGRESSIVE, b"\x00\x00\x00")
    assert jpeg.without_oddities(odd) == odd


def test_a_missing_end_stays_missing() -> None:
    assert jpeg.without_oddities(JPEG[:-2]) == JPEG[:-2]


def test_of_several_pictures_the_first_is_kept() -> None:
    assert jpeg.without_oddities(JPEG + PROGRESSIVE) == JPEG
