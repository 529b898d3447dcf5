"""Colour profiles, bounded before a colour engine sees them (ICC.1, sections 7 to 10).

A profile goes on with those tags alone that bring a picture's colours to the connection
space: no multi-process elements (D2B0 and the like), which are programs that run for each grid
point, no way back (B2A0), no texts. Of these, none may declare more than it holds.
"""

from __future__ import annotations

import struct
from math import prod
from typing import Final

MAX_BYTES: Final = 4 * 2**20  # the longest in use have 2 MB
_HEADER: Final = 128
_ENTRY: Final = 12
_MAX_TAGS: Final = 100
_VERSION, _SPACE, _SIGNATURE = slice(8, 10), slice(16, 20), slice(36, 40)
_NEWEST: Final = b"\5\0"  # that is read
_COLOURS: Final = frozenset({b"rXYZ", b"gXYZ", b"bXYZ"})
_POINTS: Final = _COLOURS | {b"wtpt", b"bkpt"}
_CURVES: Final = frozenset({b"rTRC", b"gTRC", b"bTRC", b"kTRC"})
_TABLES: Final = frozenset({b"A2B0", b"A2B1", b"A2B2"})
_USED: Final = _POINTS | _CURVES | _TABLES | {b"chad"}
_SPARED: Final = frozenset({b"wtpt", b"bkpt", b"chad"})  # no colour depends on them
# What there must be where there is no table of the perceptual intent. For a profile that has
# less libvips takes sRGB, without a word.
_PERCEPTUAL: Final = b"A2B0"
_NEEDED: Final = {
    b"RGB ": _COLOURS | {b"rTRC", b"gTRC", b"bTRC"},
    b"GRAY": frozenset({b"kTRC"}),
}
_CHANNELS: Final = (1, 3, 4)
_MAX_CURVE: Final = 65_536
_MAX_GRID: Final = 2**21  # entries; 33 points of four channels are as many as are in use
_PARAMETERS: Final = (1, 3, 4, 5, 7)  # of a parametric curve, by its function


def bounded(profile: bytes) -> bytes | None:
    """`profile` with the tags that are used; None if it is damaged or declares too much.

    A damaged tag that no colour depends on is left out, and the profile goes on without it.
    """
    if not _HEADER + 4 <= len(profile) <= MAX_BYTES:
        return None
    if profile[_SIGNATURE] != b"acsp" or profile[_VERSION] > _NEWEST:
        return None
    count = struct.unpack_from(">I", profile, _HEADER)[0]
    if count > _MAX_TAGS or _HEADER + 4 + count * _ENTRY > len(profile):
        return None
    kept: dict[bytes, bytes] = {}
    for at in range(_HEADER + 4, _HEADER + 4 + count * _ENTRY, _ENTRY):
        name, start, length = struct.unpack_from(">4sII", profile, at)
        if name in _USED and name not in kept:
            body = profile[start : start + length]
            if len(body) == length and _holds_what_it_declares(name, body):
                kept[name] = body
            elif name not in _SPARED:
                return None
    needed = _NEEDED.get(profile[_SPACE], _TABLES)
    is_enough = _PERCEPTUAL in kept or needed <= kept.keys()
    return _written(profile[:_HEADER], kept) if is_enough else None


def _written(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = _HEADER + 4 + len(tags) * _ENTRY
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    return struct.pack(">I", start + len(bodies)) + header[4:] + table + bodies


def _holds_what_it_declares(name: bytes, body: bytes) -> bool:
    kind = body[:4]
    if name in _POINTS:
        return kind == b"XYZ " and len(body) >= 20  # noqa: PLR2004 - three numbers
    if name in _CURVES:
        return kind in (b"curv", b"para") and _curve(body, 0) is not None
    if name in _TABLES and kind in (b"mft1", b"mft2"):
        return _is_table(body, depth=1 if kind == b"mft1" else 2)
    if name in _TABLES:
        return kind == b"mAB " and _is_staged(body)
    return kind == b"sf32" and len(body) >= 44  # noqa: PLR2004 - a matrix


def _curve(body: bytes, start: int) -> int | None:
    """Returns where a curve ends, filled up to four bytes; None where it is none, or is cut."""
    if start + 12 > len(body):
        return None
    kind, function, count = struct.unpack_from(">4s4xHH", body, start)
    if kind == b"curv":
        count = struct.unpack_from(">I", body, start + 8)[0]
        end = start + 12 + 2 * count
        sound = count <= _MAX_CURVE
    else:
        sound = kind == b"para" and function < len(_PARAMETERS)
        end = start + 12 + 4 * _PARAMETERS[function] if sound else 0
    return end + -end % 4 if sound and end <= len(body) else None


def _is_table(body: bytes, depth: int) -> bool:
    """Of lut8Type and lut16Type: curves of a channel each, a grid between them."""
    if len(body) < 52:  # noqa: PLR2004 - the fields of both
        return False
    inputs, outputs, points = body[8], body[9], body[10]
    entries = struct.unpack_from(">HH", body, 48) if depth > 1 else (256, 256)
    if inputs not in _CHANNELS or outputs not in _CHANNELS or max(entries) > _MAX_CURVE:
        return False
    grid = points**inputs * outputs
    numbers = inputs * entries[0] + grid + outputs * entries[1]
    size: int = (52 if depth > 1 else 48) + depth * numbers
    return grid <= _MAX_GRID and size <= len(body)


def _is_staged(body: bytes) -> bool:
    """Of lutAToBType: curves, grid, curves, matrix, curves, each where there is an offset."""
    if len(body) < 32:  # noqa: PLR2004 - its fields
        return False
    inputs, outputs = body[8], body[9]
    if inputs not in _CHANNELS or outputs not in _CHANNELS:
        return False
    b_curves, matrix, m_curves, grid, a_curves = struct.unpack_from(">5I", body, 12)
    curves = ((b_curves, outputs), (m_curves, outputs), (a_curves, inputs))
    return (
        all(not start or _are_curves(body, start, count) for start, count in curves)
        and (not matrix or matrix + 48 <= len(body))
        and (not grid or _is_grid(body, grid, inputs, outputs))
    )


def _are_curves(body: bytes, start: int, count: int) -> bool:
    at: int | None = start
    for _ in range(count):
        at = _curve(body, at) if at is not None else None
    return at is not None


def _is_grid(body: bytes, start: int, inputs: int, outputs: int) -> bool:
    if start + 20 > len(body):
        return False
    depth = body[start + 16]
    entries = prod(body[start : start + inputs]) * outputs
    within = start + 20 + depth * entries <= len(body)
    return depth in (1, 2) and 0 < entries <= _MAX_GRID and within
