"""ICC profiles of three primaries, a white point and a curve, made from those numbers.

ICC.1:2010 (profile version 4.3): parametric curves, colours adapted to D50 by Bradford's
matrix. What other formats say of their colours in a few numbers becomes one of these.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

Point: TypeAlias = tuple[float, float]
_Matrix: TypeAlias = Sequence[Sequence[float]]
_Vector: TypeAlias = Sequence[float]

_D50: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
_FLATTEST: Final = 1e-4  # the determinant of primaries that span no triangle worth the name
_LARGEST: Final = 16.0  # of a colour's XYZ: real ones stay below 2


class Curve(NamedTuple):
    """Linear light of a value `x`: `(a * x + b) ** gamma`, and `c * x` below `d`."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0


class Primaries(NamedTuple):
    """Chromaticities x, y."""

    white: Point
    red: Point
    green: Point
    blue: Point


def matrix_profile(primaries: Primaries, curve: Curve) -> bytes | None:
    """A display profile for RGB; None for primaries that make no colour space."""
    colours = _adapted_to_d50(primaries)
    if colours is None:
        return None
    shared = struct.pack(">4s4xHxx5i", b"para", 3, *map(_fixed, curve))
    tags = {
        b"wtpt": _xyz(_D50),
        **dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, colours), strict=True)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), shared),
    }
    offset = 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for name, body in tags.items():
        table += struct.pack(">4sII", name, offset, len(body))
        offset += len(body)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i", offset, 0x04300000, b"mntr", b"RGB ", b"XYZ ",
        b"acsp", *map(_fixed, _D50),
    )  # fmt: skip
    return header.ljust(128, b"\0") + table + b"".join(tags.values())


def _adapted_to_d50(primaries: Primaries) -> list[_Vector] | None:
    """XYZ of full red, green and blue, which together are the white of D50."""
    white, *corners = ((x, y, 1 - x - y) for x, y in primaries)
    if white[1] <= 0:
        return None
    light = [value / white[1] for value in white]
    unscaled = tuple(zip(*corners, strict=True))
    shares = _solved(unscaled, light)
    if shares is None:
        return None
    response, wanted = _applied(_BRADFORD, light), _applied(_BRADFORD, _D50)
    if min(map(abs, response)) < _FLATTEST:  # a white that one kind of cone does not see
        return None
    colours = []
    for corner, share in zip(corners, shares, strict=True):
        cone = _applied(_BRADFORD, [value * share for value in corner])
        scaled = [c * to / by for c, to, by in zip(cone, wanted, response, strict=True)]
        colour = _solved(_BRADFORD, scaled)
        if colour is None or max(map(abs, colour)) > _LARGEST:
            return None
        colours.append(colour)
    return colours


def _applied(matrix: _Matrix, vector: _Vector) -> _Vector:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _solved(matrix: _Matrix, vector: _Vector) -> _Vector | None:
    """The solution of `matrix` times it is `vector`, by Cramer's rule."""
    whole = _determinant(matrix)
    if abs(whole) < _FLATTEST:
        return None
    return [
        _determinant(
            [[*row[:at], value, *row[at + 1 :]] for row, value in zip(matrix, vector, strict=True)]
        )
        / whole
        for at in range(3)
    ]


def _determinant(matrix: _Matrix) -> float:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _xyz(colour: _Vector) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *map(_fixed, colour))


def _fixed(value: float) -> int:
    return round(value * 65536)
