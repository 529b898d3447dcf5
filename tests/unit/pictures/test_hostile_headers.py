"""Headers that are cut, overwritten or taken apart: refused in the project's words, or read.

Every variant of a small file goes through every function that reads bytes of its kind. The
inner loop takes some of the variants, always the same; `slow` takes all of them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from inspect import isfunction, signature
from itertools import islice
from pkgutil import iter_modules
from typing import Final

import pytest
from tests import pictures
from tests.unit.pictures.test_icc import with_tags
from tests.unit.pictures.test_jpeg_padding import padded

from image_service.domain.errors import InvalidRequest
from image_service.pictures import formats
from image_service.pictures.formats import (
    damage,
    exif,
    icc,
    jpeg,
    png,
    png_colour,
    signatures,
    webp,
)
from image_service.pictures.header import PictureLimits, read_header

Read = Callable[[bytes], object]
Parts = list[bytes]

ANY_SIZE = PictureLimits(min_side=1)
HEAD = 200  # bytes of a file, each of which is overwritten; of a part all of them
VALUES = (0, 1, 2, 3, 0x0F, 0x10, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
NUMBERS = (b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
SOME = 200  # variants of a file in the inner loop


def of(module: object, *names: str) -> list[Read]:
    return [getattr(module, name) for name in names]


ANY_FILE: Final = [signatures.detect, partial(read_header, limits=ANY_SIZE)]
READERS: Final[dict[str, list[Read]]] = {
    "jpeg": [
        *ANY_FILE,
        *of(jpeg, "declared_size", "extent", "held_bytes_a_pixel", "orientation"),
        *of(jpeg, "without_metadata", "without_oddities", "check_kind", "check_work"),
        partial(damage.refusal, mime_type="image/jpeg"),
    ],
    "png": [
        *ANY_FILE,
        *of(png, "declared_size", "held_bytes_a_pixel", "has_alpha", "frames", "extent"),
        *of(png, "is_whole", "orientation", "without_metadata"),
        partial(png.ahead_of_pixels, kinds=(b"gAMA", b"tRNS", b"IHDR")),
        png_colour.profiles,
        partial(damage.refusal, mime_type="image/png"),
    ],
    "webp": [
        *ANY_FILE,
        *of(webp, "declared_size", "held_bytes_a_pixel", "code_bytes", "has_alpha", "frames"),
        *of(webp, "extent", "orientation", "without_metadata", "lossless_part"),
        partial(damage.refusal, mime_type="image/webp"),
    ],
    "other": ANY_FILE,
    "profile": [icc.bounded],
    "deflated profile": [png.inflated_profile],
    "exif": [exif.orientation],
}


@cache
def files() -> dict[str, dict[str, bytes]]:
    """Small files by kind and name, each with all that its readers look at."""
    scene, size = pictures.scene, (24, 20)
    alpha, grey = scene(*size, "RGBA"), scene(*size, "L")
    profile = pictures.matrix_profile(pictures.DISPLAY_P3)
    tags = exif_block()
    jpegs = {
        "baseline": pictures.jpeg(*size),
        "progressive": pictures.jpeg(*size, progressive=True),
        "ink": pictures.encode(scene(*size, "CMYK"), "JPEG"),
        "all metadata": pictures.encode(scene(*size), "JPEG", exif=tags, icc_profile=profile),
        "padded": padded(pictures.encode(grey, "JPEG", restart_marker_blocks=1), lambda _: b"\0"),
        "one padded interval": padded(pictures.encode(grey, "JPEG"), lambda _: b"\0"),
    }
    pngs = {
        "colour": pictures.png(*size),
        "alpha": pictures.encode(alpha, "PNG"),
        "palette": pictures.encode(scene(*size, "P"), "PNG", transparency=3),
        "interlaced": pictures.png_of_pixels(alpha, interlaced=True, deep=True),
        "all metadata": pictures.with_png_chunks(
            pictures.encode(scene(*size), "PNG", exif=tags, icc_profile=profile),
            (b"cICP", b"\x09\x10\0\1"),
            (b"gAMA", struct.pack(">I", 100_000)),
            (
                b"cHRM",
                struct.pack(
                    ">8I", *[31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000]
                ),
            ),
        ),
        "animation": pictures.animated("PNG", size),
    }
    webps = {
        "lossy": pictures.webp(*size),
        "lossless": pictures.webp(*size, lossless=True),
        "alpha": pictures.encode(alpha, "WEBP"),
        "all metadata": pictures.encode(alpha, "WEBP", exif=tags, icc_profile=profile, xmp=b"<x/>"),
        "animation": pictures.animated("WEBP", size),
    }
    brands = b"".join((b"mif1", bytes(4), b"miaf", b"heic"))
    others = {
        "heif": struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x08meta",
        "tiff": tags.removeprefix(b"Exif\0\0"),
        "svg": b"<?xml version='1.0'?><svg/>",
        "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    }
    profiles = {
        "matrix": profile,
        "table": with_tags(profile, A2B0=table()),
        "staged": with_tags(profile, A2B0=staged()),
    }
    deflated = {"sound": b"name\0\0" + zlib.compress(profile)}
    by_name = (jpegs, pngs, webps, others, profiles, deflated, {"camera": tags})
    return dict(zip(READERS, by_name, strict=True))


def exif_block() -> bytes:
    entries = [(0x010F, 2, 4, 0), (0x014A, 4, 1, 8), (0x0112, 3, 1, 6)]
    packed = b"".join(struct.pack("<HHIH2x", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def table() -> bytes:
    head = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + bytes(36) + struct.pack(">HH", 2, 2)
    return head + bytes(2 * (3 * 2 + 2**3 * 3 + 3 * 2))


def staged() -> bytes:
    curves = (b"curv" + bytes(8)) * 3
    grid = bytes([2, 2, 2]).ljust(16, b"\0") + b"\1\0\0\0" + bytes(8 * 3)
    places = (32, 68, 116, 152, 152 + len(grid))
    head = b"mAB " + bytes(4) + b"\3\3\0\0" + struct.pack(">5I", *places)
    return head + curves + bytes(48) + curves + grid + curves


# Variants --------------------------------------------------------------------------------


def variants(kind: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    for end in range(len(data)):
        yield f"cut at {end}", data[:end]
    for at in range(min(HEAD, len(data)) if kind in PARTS else len(data)):
        for value in VALUES:
            yield f"byte {at} is {value}", overwritten(data, at, bytes([value]))
        for number in NUMBERS:
            yield f"bytes from {at} are {number.hex()}", overwritten(data, at, number)
    if kind in PARTS:
        yield from of_parts(kind, data)


def overwritten(data: bytes, at: int, body: bytes) -> bytes:
    return (data[:at] + body + data[at + len(body) :])[: len(data)]


def of_parts(kind: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each chunk or segment removed, doubled, last, empty, and of other lengths than it has."""
    head, parts, length_at, order = PARTS[kind](data)
    width = 2 if order == ">H" else 4

    def whole(changed: Parts) -> bytes:
        made = head + b"".join(changed)
        return pictures.with_riff_size(made) if kind == "webp" else made

    for at, part in enumerate(parts):
        before, after = parts[:at], parts[at + 1 :]
        yield f"without part {at}", whole([*before, *after])
        yield f"part {at} twice", whole([*before, part, part, *after])
        yield f"part {at} three times", whole([*before, part, part, part, *after])
        yield f"part {at} last", whole([*before, *after, part])
        yield f"part {at} first", whole([part, *before, *after])
        bare = part[: max(length_at, 0) + width + (4 if kind == "png" else 0)]
        for length in (0, 1, 2, 3, 4, len(part), 2**31 - 1, 2**32 - 1):
            packed = struct.pack(order, length & 2 ** (8 * width) - 1)
            for body in (part, bare, bare + bytes(4), part[: len(part) // 2]):
                short = overwritten(body, length_at, packed)
                yield (
                    f"part {at} of length {length}, {len(body)} bytes",
                    whole([*before, short, *after]),
                )


def jpeg_parts(data: bytes) -> tuple[bytes, Parts, int, str]:
    parts, at = [], 2
    while data[at : at + 2] != b"\xff\xda":
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at:end])
        at = end
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:2], [*parts, data[at:end], data[end:-2], data[-2:]], 2, ">H"


def png_parts(data: bytes) -> tuple[bytes, Parts, int, str]:
    return data[:8], [pictures.chunk(*each) for each in pictures.png_chunks(data)], 0, ">I"


def webp_parts(data: bytes) -> tuple[bytes, Parts, int, str]:
    packed = [
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        for name, body in pictures.riff_chunks(data)
    ]
    return data[:12], packed, 4, "<I"


PARTS: Final = {"jpeg": jpeg_parts, "png": png_parts, "webp": webp_parts}


# Tests -----------------------------------------------------------------------------------


def check(kind: str, name: str, step: int) -> None:
    for what, data in islice(variants(kind, files()[kind][name]), 0, None, step):
        for read in READERS[kind]:
            try:
                with suppress(InvalidRequest):
                    read(data)
            except Exception as error:
                function = getattr(read, "func", read)
                reader = f"{function.__module__}.{function.__name__}"
                raise AssertionError(f"{reader}, {what}") from error


EACH = [(kind, name) for kind in READERS for name in files()[kind]]


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_some_spoilt_headers_are_read_or_refused(kind: str, name: str) -> None:
    number = sum(1 for _ in variants(kind, files()[kind][name]))
    check(kind, name, step=max(1, number // SOME))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), EACH)
def test_every_spoilt_header_is_read_or_refused(kind: str, name: str) -> None:
    check(kind, name, step=1)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_the_files_that_are_spoilt_are_sound(kind: str, name: str) -> None:
    """Else no variant would come far."""
    if kind in PARTS and name != "animation":
        source = read_header(files()[kind][name], ANY_SIZE)
        assert {source.width, source.height} == {24, 20}
    if kind == "profile":
        assert icc.bounded(files()[kind][name])


def test_no_function_that_reads_bytes_is_left_out() -> None:
    read = {getattr(each, "func", each) for readers in READERS.values() for each in readers}
    for found in iter_modules(formats.__path__):
        module = import_module(f"{formats.__name__}.{found.name}")
        for name, function in vars(module).items():
            if isfunction(function) and function.__module__ == module.__name__:
                first = next(iter(signature(function).parameters.values()), None)
                if not name.startswith("_") and first and first.annotation == "bytes":
                    assert function in read, f"{module.__name__}.{name}"
