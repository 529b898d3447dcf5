"""Photos of 12 megapixels and some 3.5 MB, made by code.

Their detail falls off as that of photographs does: noise of every scale from the whole picture
down to two pixels, each half as wide with half the contrast, a few edges, and a sensor's grain.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_WIDTH, _HEIGHT = 4032, 3024
_CACHE = Path(__file__).parents[2] / ".cache" / "bench" / "photos"
_SCALES = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2)
_CONTRAST = 36.0  # of the widest scale, in levels of 255
_FALL = 0.75  # from one scale to the next
_GRAIN = 3.5
_QUALITY = 92


def photos(count: int) -> list[bytes]:
    """Made once, then kept; the same each time."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    return [_photo(seed) for seed in range(1, count + 1)]


def _photo(seed: int) -> bytes:
    file = _CACHE / f"{seed}.jpg"
    if not file.exists():
        file.write_bytes(_made(seed))
    return file.read_bytes()


def _made(seed: int) -> bytes:
    dice = np.random.default_rng(seed)
    brightness = 120 + sum(
        _noise(dice, scale) * _CONTRAST * _FALL**step for step, scale in enumerate(_SCALES)
    )
    brightness += _edges(dice) + dice.normal(0, _GRAIN, (_HEIGHT, _WIDTH)).astype(np.float32)
    colours = [128 + sum(_noise(dice, scale) * 14 for scale in _SCALES[:5]) for _ in range(2)]
    channels = [
        Image.fromarray(np.clip(each, 0, 255).astype(np.uint8)) for each in (brightness, *colours)
    ]
    out = io.BytesIO()
    Image.merge("YCbCr", channels).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _noise(dice: np.random.Generator, scale: int) -> np.ndarray:
    """Of one scale, over the whole picture."""
    size = (_HEIGHT // scale + 2, _WIDTH // scale + 2)
    small = Image.fromarray(dice.normal(0, 1, size).astype(np.float32))
    return np.asarray(small.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))


def _edges(dice: np.random.Generator) -> np.ndarray:
    """Things before one another: each a little darker or brighter."""
    sheet = Image.new("F", (_WIDTH, _HEIGHT))
    draw = ImageDraw.Draw(sheet)
    for _ in range(60):
        left, top = dice.integers(0, _WIDTH), dice.integers(0, _HEIGHT)
        width, height = dice.integers(60, 900, 2)
        draw.ellipse((left, top, left + width, top + height), fill=float(dice.normal(0, 22)))
    return np.asarray(sheet)
