"""Small files that cost their decoders far more than their size and header tell.

Every one is generated; the kinds are those that have been found to hold a decoder for
seconds, or to take hundreds of MB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

from PIL import Image
from tests import pictures, webp_codes

_LARGEST: Final = 8000


def looping_exif(entries: int = 600) -> bytes:
    """Directories whose every pointer leads to the directory itself."""
    pointers = b"".join(
        struct.pack("<HHII", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005) * (entries // 3)
    )
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + pointers + bytes(4)


def profile(**tags: bytes) -> bytes:
    """A sound profile with more tags."""
    made = pictures.matrix_profile(pictures.DISPLAY_P3)
    count = struct.unpack_from(">I", made, 128)[0]
    entries = [struct.unpack_from(">4sII", made, 132 + 12 * at) for at in range(count)]
    bodies = {name: made[start : start + length] for name, start, length in entries}
    bodies |= {name.encode(): body for name, body in tags.items()}
    start, table, data = 132 + 12 * len(bodies), struct.pack(">I", len(bodies)), b""
    for name, body in bodies.items():
        table += struct.pack(">4sII", name, start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    return struct.pack(">I", start + len(data)) + made[4:128] + table + data


def elements(count: int = 5000) -> bytes:
    """A profile whose colours run through one matrix `count` times, for each grid point."""
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3)
    matrix += struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 1e-9, 1e-9, 1e-9)
    head = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count)
    places = struct.pack(">II", 16 + 8 * count, len(matrix)) * count
    made = profile(D2B0=head + places + matrix)
    return made[:8] + b"\x04\x30\0\0" + made[12:]


def absent_grid() -> bytes:
    return profile(A2B0=b"mft2" + bytes(4) + bytes([4, 3, 255, 0]) + bytes(36) + b"\0\2\0\2" * 20)


def jpeg_with(*segments: bytes) -> bytes:
    data = pictures.jpeg(300, 200)
    return data[:2] + b"".join(segments) + data[2:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_profile(made: bytes) -> bytes:
    parts = [made[at : at + 65_000] for at in range(0, len(made), 65_000)]
    return jpeg_with(
        *(
            segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
            for number, part in enumerate(parts, 1)
        )
    )


def jpeg_of_scans(count: int, frame: int = 0xC2) -> bytes:
    """The largest picture in `count` scans, with hardly any data in them."""
    data = pictures.jpeg(320, 200, progressive=True, subsampling=0)
    head = data[: data.index(b"\xff\xda")]
    at = head.index(b"\xff\xc2")
    size = struct.pack(">HH", _LARGEST, _LARGEST)
    head = head[:at] + bytes([0xFF, frame]) + head[at + 2 : at + 5] + size + head[at + 9 :]
    scan = segment(0xDA, b"\3\1\0\2\0\3\0\0\0\1")
    return head + (scan + b"\0\0") * count + b"\xff\xd9"


def jpeg_of_restarts() -> bytes:
    """A restart after each block, and none of them there."""
    data = pictures.jpeg_claiming(_LARGEST, _LARGEST)
    scan = data.index(b"\xff\xda")
    return data[:scan] + segment(0xDD, b"\0\1") + data[scan:]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    header, *rest = pictures.png_chunks(pictures.png(300, 200))
    return pictures.png_of_chunks([header, *chunks, *rest])


def png_profile(made: bytes) -> bytes:
    return png_with((b"iCCP", b"k\0\0" + zlib.compress(made, 9)))


def png_of_nothing(blocks: int = 500_000) -> bytes:
    """Pixels behind deflate blocks that hold nothing."""
    header, (_, pixels), end = pictures.png_chunks(pictures.png_of_pixels(pictures.scene(300, 200)))
    stream = pixels[:2] + b"\0\0\0\xff\xff" * blocks + pixels[2:]
    return pictures.png_of_chunks([header, (b"IDAT", stream), end])


def largest_png(colour_type: int, channels: int) -> bytes:
    """Interlaced, 16 bits a channel, all of it zero: 60 KB that are 64 megapixels."""
    head = struct.pack(">IIBBBBB", _LARGEST, _LARGEST, 16, colour_type, 0, 0, 1)
    deflate = zlib.compressobj(9)
    passes = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))
    made = []
    for across, down in passes:
        row = bytes(1 + _LARGEST // across * channels * 2)
        made += [deflate.compress(row) for _ in range(_LARGEST // down)]
    pixels = b"".join((*made, deflate.flush()))
    return pictures.png_of_chunks([(b"IHDR", head), (b"IDAT", pixels), (b"IEND", b"")])


def webp_with(*chunks: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """An extended file with more chunks."""
    data = pictures.webp(300, 200)
    head = struct.pack("<I", flags) + (299).to_bytes(3, "little") + (199).to_bytes(3, "little")
    packed = b"".join(
        kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        for kind, body in ((b"VP8X", head), *chunks)
    )
    return pictures.with_riff_size(data[:12] + packed + data[12:])


def flat_webp(mode: str, **options: object) -> bytes:
    """The largest picture of one colour: a few KB."""
    flat = Image.new(mode, (_LARGEST, _LARGEST), (10, 90, 200, 120)[: len(mode)])
    return pictures.encode(flat, "WEBP", method=0, **options)


_TEXT: Final = zlib.compress(bytes(10 * 2**20), 9)
_LONG_PROFILE: Final = b"k\0\0" + zlib.compress(bytes(4 * 2**20 - 1), 9)

FILES: Final[dict[str, Callable[[], bytes]]] = {
    "jpeg, looping EXIF": lambda: jpeg_with(segment(0xE1, looping_exif())),
    "jpeg, profile of elements": lambda: jpeg_profile(elements()),
    "jpeg, profile with an absent grid": lambda: jpeg_profile(absent_grid()),
    "jpeg, scans without data": lambda: jpeg_of_scans(60),
    "jpeg, few scans without data": lambda: jpeg_of_scans(10),
    "jpeg, arithmetic coding": lambda: jpeg_of_scans(1, frame=0xCA),
    "jpeg, restarts without data": jpeg_of_restarts,
    "jpeg, flood of segments": lambda: jpeg_with(segment(0xE1, b"") * 200_000),
    "jpeg, comments": lambda: jpeg_with(segment(0xFE, b"c" * 1000) * 9_000),
    "png, looping EXIF": lambda: png_with((b"eXIf", looping_exif()[6:])),
    "png, profile of elements": lambda: png_profile(elements()),
    "png, profile with an absent grid": lambda: png_profile(absent_grid()),
    "png, many profiles": lambda: png_with(*[(b"iCCP", _LONG_PROFILE)] * 1_000),
    "png, long texts": lambda: png_with(*[(b"zTXt", b"k\0\0" + _TEXT)] * 100),
    "png, flood of chunks": lambda: png_with(*[(b"IDAT", b"")] * 50_000),
    "png, streams of nothing": png_of_nothing,
    "png, largest of 16 bits": lambda: largest_png(6, 4),
    "png, largest grey with alpha": lambda: largest_png(4, 2),
    "webp, looping EXIF": lambda: webp_with((b"EXIF", looping_exif()[6:]), flags=8),
    "webp, profile of elements": lambda: webp_with((b"ICCP", elements()), flags=32),
    "webp, profile with an absent grid": lambda: webp_with((b"ICCP", absent_grid()), flags=32),
    "webp, flood of chunks": lambda: webp_with(*[(b"JUNK", b"")] * 100_000),
    "webp, largest of nothing": lambda: pictures.webp_claiming(_LARGEST, _LARGEST, lossless=True),
    "webp, largest of one colour": lambda: flat_webp("RGB", lossless=True, quality=0),
    "webp, largest with alpha": lambda: flat_webp("RGBA"),
    "webp, groups of codes": lambda: webp_codes.lossless(1000, 1000, groups=65_536),
    "webp, groups of codes of alpha": lambda: webp_codes.with_alpha(1000, 1000, groups=65_536),
}
