"""Test pictures, made in code by encoders other than the one under test.

Pillow encodes; what Pillow can't write (Adam7, 16-bit colour, hostile headers) is put
together by hand. The same call always gives the same bytes.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

# Each stands in exactly one kind of metadata of `with_all_metadata`.
METADATA_MARKERS = (
    b"MARKER-EXIF",
    b"MARKER-GPS",
    b"MARKER-XMP",
    b"MARKER-ICC",
    b"MARKER-COMMENT",
)
_GPS_IFD, _ORIENTATION, _MAKE = 0x8825, 0x0112, 0x010F
_GPS_PROCESSING_METHOD = 27
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)

# What is to be seen ----------------------------------------------------------------------


def scene(width: int = 640, height: int = 400, mode: str = "RGB") -> Image.Image:
    """A picture no two of whose corners, sides or orientations look the same.

    Modes with alpha get one that grows from left to right.
    """
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, down, Image.new("L", (width, height), 96)))
    draw = ImageDraw.Draw(picture)
    third, quarter = width // 3, height // 4
    draw.rectangle((0, 0, third, quarter), fill=(220, 40, 40))
    draw.rectangle((width - third // 2, 0, width, quarter), fill=(40, 200, 60))
    draw.ellipse((third, quarter, third * 2, quarter * 3), fill=(250, 230, 80))
    if mode in ("RGBA", "LA"):
        picture.putalpha(across)
    return picture.convert(mode)


def textured(width: int = 640, height: int = 400, *, seed: int = 1) -> Image.Image:
    """A `scene` with grain, so that its file has data to damage everywhere."""
    grain_size = (width // 2, height // 2)
    grain = random.Random(seed).randbytes(grain_size[0] * grain_size[1])
    noise = Image.frombytes("L", grain_size, grain).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.blend(scene(width, height), noise.convert("RGB"), 0.3)


# Files -----------------------------------------------------------------------------------


def encode(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    """`picture` as Pillow writes it: "JPEG", "PNG", "WEBP", "GIF", ..."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def jpeg(width: int = 640, height: int = 400, **options: Any) -> bytes:
    return encode(textured(width, height), "JPEG", **{"quality": 90, **options})


def png(width: int = 640, height: int = 400, **options: Any) -> bytes:
    return encode(textured(width, height), "PNG", **options)


def webp(width: int = 640, height: int = 400, **options: Any) -> bytes:
    return encode(textured(width, height), "WEBP", **options)


def oriented(picture: Image.Image, orientation: int, file_format: str = "JPEG") -> bytes:
    """`picture` as it is, with a tag that says how to turn it before it is shown."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encode(picture, file_format, exif=exif, quality=95)


def animated(file_format: str, size: tuple[int, int] = (200, 150)) -> bytes:
    """Three frames; "WEBP" or "PNG"."""
    frames = [scene(*size).rotate(angle) for angle in (0, 90, 180)]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100)


def with_frames(
    file_format: str,
    count: int,
    *,
    announced: int | None = None,
    size: tuple[int, int] = (200, 150),
) -> bytes:
    """As `animated`, cut down to `count` frames of its three; a PNG announces another number."""
    data = animated(file_format, size)
    if file_format == "WEBP":
        chunks = riff_chunks(data)
        frames = [chunk for chunk in chunks if chunk[0] == b"ANMF"][:count]
        kept = [chunk for chunk in chunks if chunk[0] != b"ANMF"] + frames
        body = b"".join(struct.pack("<4sI", kind, len(raw)) + raw for kind, raw in kept)
        return with_riff_size(data[:12] + body)
    kept, seen = [], 0
    for kind, raw in png_chunks(data):
        seen += kind == b"fcTL"
        if kind == b"acTL":
            kept.append((kind, struct.pack(">II", count if announced is None else announced, 0)))
        elif kind not in (b"fcTL", b"fdAT") or seen <= count:
            kept.append((kind, raw))
    return png_of_chunks(kept)


def with_all_metadata(file_format: str) -> bytes:
    """A picture with EXIF, GPS, XMP, an ICC profile and a comment, each with its marker."""
    exif = Image.Exif()
    exif[_MAKE] = "MARKER-EXIF"
    exif.get_ifd(_GPS_IFD)[_GPS_PROCESSING_METHOD] = b"ASCII\0\0\0MARKER-GPS"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>MARKER-XMP</x:xmpmeta>"
    options: dict[str, Any] = {
        "exif": exif.tobytes(),
        "icc_profile": matrix_profile(DISPLAY_P3, description=b"MARKER-ICC"),
    }
    if file_format == "PNG":
        info = PngInfo()
        info.add_text("Comment", "MARKER-COMMENT")
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options |= {"exif": exif, "pnginfo": info}
    elif file_format == "JPEG":
        options |= {"xmp": xmp, "comment": b"MARKER-COMMENT"}
    else:
        options |= {"xmp": xmp}
    data = encode(textured(), file_format, **options)
    if file_format == "WEBP":  # has no comments; an unknown chunk is as near as it comes
        data = with_riff_chunk(data, b"NOTE", b"MARKER-COMMENT")
    return data


def without_adobe_marker(data: bytes) -> bytes:
    """A JPEG without its APP14 segment, so that CMYK means ink and not its absence."""
    return _without_segments(data, b"\xff\xee")


def without_tables(data: bytes) -> bytes:
    """A JPEG without its Huffman tables, as the frames of Motion JPEG are."""
    return _without_segments(data, b"\xff\xc4")


def _without_segments(data: bytes, marker: bytes) -> bytes:
    while (start := data.find(marker, 0, data.index(b"\xff\xda"))) >= 0:
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        data = data[:start] + data[start + 2 + length :]
    return data


def with_segment(data: bytes, segment: bytes) -> bytes:
    """A JPEG with `segment`, marker and all, right behind its SOI."""
    return data[:2] + segment + data[2:]


def with_scan_parameters(data: bytes, parameters: bytes) -> bytes:
    """A JPEG whose first SOS ends in `parameters`: Ss, Se, Ah and Al in three bytes."""
    start = data.index(b"\xff\xda")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[: end - 3] + parameters + data[end:]


# PNG by hand -----------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_of_chunks(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return _PNG_SIGNATURE + b"".join(chunk(kind, body) for kind, body in chunks)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Types and bodies of the chunks of `data`."""
    chunks = []
    position = len(_PNG_SIGNATURE)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = position + 8
        chunks.append((data[position + 4 : body], data[body : body + length]))
        position = body + length + 4
    return chunks


def with_png_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with these chunks right behind its header."""
    header, *rest = png_chunks(data)
    return png_of_chunks([header, *chunks, *rest])


def png_of_pixels(picture: Image.Image, *, deep: bool = False, interlaced: bool = False) -> bytes:
    """An RGB, RGBA, L or LA picture as PNG; `deep` with 16 bits a channel."""
    bands = len(picture.getbands())
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    header = struct.pack(
        ">IIBBBBB", *picture.size, 16 if deep else 8, colour_type, 0, 0, int(interlaced)
    )
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(_filtered_rows(picture, bands, deep=deep, grid=grid) for grid in passes)
    return png_of_chunks([(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])


def _filtered_rows(
    picture: Image.Image, bands: int, *, deep: bool, grid: tuple[int, int, int, int]
) -> bytes:
    """Every row of a pass behind a filter byte of 0; 8-bit values times 257 are 16-bit ones."""
    left, top, step_x, step_y = grid
    pixels, stride = picture.tobytes(), picture.width * bands
    rows = []
    for y in range(top, picture.height, step_y):
        line = pixels[y * stride : (y + 1) * stride]
        row = bytearray((picture.width - left + step_x - 1) // step_x * bands)
        for band in range(bands):
            row[band::bands] = line[left * bands + band :: step_x * bands]
        if deep:
            row, narrow = bytearray(2 * len(row)), row
            row[::2] = row[1::2] = narrow
        rows.append(b"\0" + row)
    return b"".join(rows)


# Colour profiles -------------------------------------------------------------------------

# Red, green and blue as XYZ adapted to D50.
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
_D50 = (0.9642, 1.0, 0.8249)


def matrix_profile(
    primaries: Sequence[Sequence[float]], *, gamma: float = 2.2, description: bytes = b"test"
) -> bytes:
    """An ICC profile (version 2, display, RGB) of three primaries and a gamma."""
    curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    text = struct.pack(">4s4xI", b"desc", len(description) + 1) + description + bytes(79)
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": _xyz(_D50),
        **{
            name: _xyz(value)
            for name, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
        },
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset = 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for name, body in tags.items():
        table += struct.pack(">4sII", name, offset, len(body))
        offset += len(body)
    header = struct.pack(
        ">I4xI4s4s4s6H4s28s12s", offset, 0x02400000, b"mntr", b"RGB ", b"XYZ ",
        2024, 1, 1, 0, 0, 0, b"acsp", b"", b"".join(map(_fixed, _D50)),
    )  # fmt: skip
    return header.ljust(128, b"\0") + table + b"".join(tags.values())


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


# Hostile headers -------------------------------------------------------------------------


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return png_of_chunks([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")])


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(120, 120), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int, *, lossless: bool = False) -> bytes:
    data = bytearray(encode(scene(120, 120), "WEBP", lossless=lossless))
    if lossless:
        bits = int.from_bytes(data[21:25], "little") & ~0x0FFFFFFF | width - 1 | height - 1 << 14
        data[21:25] = bits.to_bytes(4, "little")
    else:
        data[26:30] = struct.pack("<HH", width, height)
    return bytes(data)


def webp_canvas_claiming(width: int, height: int) -> bytes:
    """An extended WebP (with alpha) whose canvas says it is that large."""
    data = bytearray(encode(scene(120, 120, "RGBA"), "WEBP"))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


# WebP by hand ----------------------------------------------------------------------------


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Types and bodies of the chunks of a WebP file."""
    chunks = []
    position = 12
    while position < len(data):
        kind, length = struct.unpack("<4sI", data[position : position + 8])
        body = position + 8
        chunks.append((kind, data[body : body + length]))
        position = body + length + length % 2
    return chunks


def with_riff_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A WebP file with one more chunk at its end, its sizes right."""
    body += bytes(len(body) % 2)
    return with_riff_size(data + struct.pack("<4sI", kind, len(body)) + body)


def with_riff_size(data: bytes, size: int | None = None) -> bytes:
    """A WebP file whose header says it has `size` bytes; as many as it has by default."""
    return data[:4] + struct.pack("<I", len(data) - 8 if size is None else size) + data[8:]


def with_chunk_size(data: bytes) -> bytes:
    """A cut WebP file of one chunk whose headers agree that nothing is missing."""
    data = data[: len(data) // 2 * 2]
    return with_riff_size(data[:16] + struct.pack("<I", len(data) - 20) + data[20:])
