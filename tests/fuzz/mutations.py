"""Pictures, damaged in the ways files are damaged, and in the ways attackers damage them.

Everything follows from the seed: `mutant(seed, n)` is the same bytes every time.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from tests import pictures

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PNG_SIGNATURE = 8
_RIFF_HEADER = 12


@cache
def corpus() -> tuple[bytes, ...]:
    """Small files of every kind the service takes, and of some it does not."""
    scene, size = pictures.scene, (120, 130)
    alpha, grey = scene(*size, "RGBA"), scene(*size, "L")
    return (
        pictures.jpeg(*size),
        pictures.jpeg(*size, progressive=True),
        pictures.jpeg(*size, optimize=True, subsampling=0, restart_marker_blocks=2),
        pictures.encode(grey, "JPEG"),
        pictures.encode(scene(*size).convert("CMYK"), "JPEG"),
        pictures.without_adobe_marker(pictures.encode(scene(*size).convert("CMYK"), "JPEG")),
        pictures.oriented(scene(*size), 6),
        pictures.png(*size),
        pictures.encode(alpha, "PNG"),
        pictures.encode(scene(*size).convert("P"), "PNG", transparency=3),
        pictures.encode(grey.convert("1"), "PNG"),
        pictures.png_of_pixels(alpha, interlaced=True),
        pictures.png_of_pixels(scene(*size), deep=True),
        pictures.webp(*size),
        pictures.webp(*size, lossless=True),
        pictures.encode(alpha, "WEBP"),
        *(pictures.with_all_metadata(kind) for kind in ("JPEG", "PNG", "WEBP")),
        *(pictures.animated(kind) for kind in ("PNG", "WEBP")),
        pictures.jpeg(1400, 110),
        pictures.encode(scene(*size), "GIF"),
    )


Mutation = Callable[[random.Random, bytes], bytes]


def bits_flipped(dice: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def header_bits_flipped(dice: random.Random, data: bytes) -> bytes:
    """Where the decoders' decisions are made."""
    head = min(len(data), 200)
    return bits_flipped(dice, data[:head]) + data[head:]


def bytes_set(dice: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.choice((1, 3, 10))):
        damaged[dice.randrange(len(damaged))] = dice.choice((0, 0xFF, 0x7F, dice.randrange(256)))
    return bytes(damaged)


def truncated(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(1, len(data))]


def cut_out(dice: random.Random, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.randrange(1, 500) :]


def repeated(dice: random.Random, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    piece = data[start : start + dice.randrange(1, 2_000)]
    return data[:start] + piece * dice.choice((2, 3, 20)) + data[start:]


def zeroed(dice: random.Random, data: bytes) -> bytes:
    """As of a download that never finished."""
    start = dice.randrange(len(data))
    length = min(len(data) - start, dice.randrange(1, 4_000))
    return data[:start] + bytes(length) + data[start + length :]


def lying_number(dice: random.Random, data: bytes) -> bytes:
    """A length, a count or an offset somewhere, of 2 or 4 bytes in either order."""
    order, width = dice.choice("<>"), dice.choice("HI")
    value = dice.choice((*INTERESTING, dice.randrange(2**32)))
    number = struct.pack(order + width, value & (0xFFFF if width == "H" else 0xFFFFFFFF))
    place = dice.randrange(min(len(data), dice.choice((64, 1_000, len(data)))))
    return data[:place] + number + data[place + len(number) :]


def spliced(dice: random.Random, data: bytes) -> bytes:
    other = dice.choice(corpus())
    return data[: dice.randrange(1, len(data))] + other[dice.randrange(len(other)) :]


def chunks_shuffled(dice: random.Random, data: bytes) -> bytes:
    """Chunks or segments in another order, twice, or not at all; sizes and checksums right."""
    if data.startswith(b"\x89PNG"):
        return pictures.png_of_chunks(_shuffled(dice, pictures.png_chunks(data)))
    if data.startswith(b"RIFF"):
        chunks = _shuffled(dice, pictures.riff_chunks(data))
        body = b"".join(
            struct.pack("<4sI", kind, len(content)) + content + bytes(len(content) % 2)
            for kind, content in chunks
        )
        return pictures.with_riff_size(data[:_RIFF_HEADER] + body)
    segments = [b"\xff" + segment for segment in data.split(b"\xff")[1:]]
    return b"".join(_shuffled(dice, segments))


def _shuffled(dice: random.Random, parts: list[Any]) -> list[Any]:
    parts = list(parts)
    for _ in range(dice.choice((1, 2, 5))):
        if not parts:
            break
        first, second = dice.randrange(len(parts)), dice.randrange(len(parts))
        match dice.randrange(3):
            case 0:
                parts[first], parts[second] = parts[second], parts[first]
            case 1:
                parts.insert(first, parts[second])
            case _:
                del parts[first]
    return parts


def chunk_damaged(dice: random.Random, data: bytes) -> bytes:
    """One damaged chunk of a PNG under a checksum that says it is fine."""
    if not data.startswith(b"\x89PNG"):
        return lying_number(dice, data)
    chunks = pictures.png_chunks(data)
    place = dice.randrange(len(chunks))
    kind, body = chunks[place]
    if kind == b"IDAT" and dice.random() < 0.5:
        try:
            raw = bytes_set(dice, zlib.decompress(body))
        except zlib.error:  # one of several: not a whole stream
            raw = body
        body = zlib.compress(dice.choice((raw, raw * 3, raw[: len(raw) // 2])))
    elif body:
        body = bytes_set(dice, body)
    chunks[place] = (kind, body)
    return pictures.png_of_chunks(chunks)


MUTATIONS: tuple[Mutation, ...] = (
    bits_flipped,
    header_bits_flipped,
    bytes_set,
    truncated,
    cut_out,
    repeated,
    zeroed,
    lying_number,
    spliced,
    chunks_shuffled,
    chunk_damaged,
)


def mutant(seed: int, number: int) -> bytes:
    """The file of that number; up to three mutations on top of each other."""
    dice = random.Random(f"{seed}/{number}")
    data = dice.choice(corpus())
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = mutated(dice, data)
    return data


def mutated(dice: random.Random, data: bytes) -> bytes:
    try:
        return dice.choice(MUTATIONS)(dice, data) or b"\0"
    except (struct.error, IndexError, ValueError):  # too damaged for what it was
        return bits_flipped(dice, data)
