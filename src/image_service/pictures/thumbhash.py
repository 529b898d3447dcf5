"""ThumbHash: a picture's blurred likeness in about 25 bytes.

An encoder of the format of https://evanw.github.io/thumbhash/: brightness, two colour
differences and, where there is any, transparency, each as the first few terms of a
cosine transform, quantised to 4 bits a term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from image_service.pictures.plan import Size

_TERMS_OPAQUE, _TERMS_TRANSPARENT, _TERMS_ALPHA, _TERMS_COLOUR = 7, 5, 5, 3
_OPAQUE: Final = 255


@dataclass(frozen=True, slots=True)
class _Waves:
    """A channel transformed: its mean, its largest term, and its terms over that, 0 to 1."""

    mean: float
    scale: float
    terms: list[float]


def encode(size: Size, rgba: bytes, *, shown: Size | None = None) -> bytes:
    """The hash of a picture of `size`, 8 bits a channel, row by row.

    `shown` is the size of what it is a copy of, whose sides were not rounded to a few pixels:
    a page takes the shape of the picture from the hash. Takes a few milliseconds for 32 x 32
    pixels; more of them add nothing.
    """
    width, height = shown or size
    brightness, yellow_blue, red_green, alpha = _channels(rgba)
    has_alpha = any(value < 1 for value in alpha)
    limit = _TERMS_TRANSPARENT if has_alpha else _TERMS_OPAQUE
    across = max(1, _round(limit * width / max(width, height)))
    down = max(1, _round(limit * height / max(width, height)))
    l_waves = _transform(brightness, size, max(3, across), max(3, down))
    p_waves = _transform(yellow_blue, size, _TERMS_COLOUR, _TERMS_COLOUR)
    q_waves = _transform(red_green, size, _TERMS_COLOUR, _TERMS_COLOUR)
    landscape = width > height
    means = (
        _round(63 * l_waves.mean)
        | _round(31.5 + 31.5 * p_waves.mean) << 6
        | _round(31.5 + 31.5 * q_waves.mean) << 12
        | _round(31 * l_waves.scale) << 18
        | has_alpha << 23
    )
    shape = (
        (down if landscape else across)
        | _round(63 * p_waves.scale) << 3
        | _round(63 * q_waves.scale) << 9
        | landscape << 15
    )
    head = means.to_bytes(3, "little") + shape.to_bytes(2, "little")
    terms = l_waves.terms + p_waves.terms + q_waves.terms
    if has_alpha:
        a_waves = _transform(alpha, size, _TERMS_ALPHA, _TERMS_ALPHA)
        head += bytes([_round(15 * a_waves.mean) | _round(15 * a_waves.scale) << 4])
        terms += a_waves.terms
    return head + _nibbles(terms)


def _channels(rgba: bytes) -> tuple[list[float], ...]:
    """Brightness, yellow minus blue, red minus green (on the mean colour), and alpha."""
    red, green, blue, opacity = (rgba[channel::4] for channel in range(4))
    total = sum(opacity)
    means = [
        sum(map(int.__mul__, colour, opacity)) / (total or 1) / _OPAQUE
        for colour in (red, green, blue)
    ]
    alpha = [value / _OPAQUE for value in opacity]
    r, g, b = (
        [mean * (1 - a) + value / _OPAQUE * a for value, a in zip(colour, alpha, strict=True)]
        for mean, colour in zip(means, (red, green, blue), strict=True)
    )
    pixels = list(zip(r, g, b, strict=True))
    return (
        [(r + g + b) / 3 for r, g, b in pixels],
        [(r + g) / 2 - b for r, g, b in pixels],
        [r - g for r, g, _ in pixels],
        alpha,
    )


def _transform(channel: list[float], size: Size, across: int, down: int) -> _Waves:
    """The lower-left triangle of a cosine transform of `across` x `down` terms."""
    width, height = size
    rows = [channel[start : start + width] for start in range(0, width * height, width)]
    columns = [[_dot(row, wave) for row in rows] for wave in _cosines(width, across)]
    terms = [
        _dot(columns[x], wave) / (width * height)
        for y, wave in enumerate(_cosines(height, down))
        for x in range(across)
        if x * down < across * (down - y)
    ]
    mean, *rest = terms
    scale = max(map(abs, rest))
    if scale:
        rest = [0.5 + 0.5 / scale * term for term in rest]
    return _Waves(mean, scale, rest)


def _cosines(length: int, count: int) -> list[list[float]]:
    return [
        [math.cos(math.pi / length * wave * (at + 0.5)) for at in range(length)]
        for wave in range(count)
    ]


def _dot(values: list[float], weights: list[float]) -> float:
    return sum(map(float.__mul__, values, weights))


def _nibbles(terms: list[float]) -> bytes:
    """Two terms a byte, the first in the lower half."""
    values = [_round(15 * term) for term in terms]
    if len(values) % 2:
        values.append(0)
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def _round(value: float) -> int:
    """Half goes up, as in the format's own encoders; Python's `round` goes to even."""
    return math.floor(value + 0.5)
