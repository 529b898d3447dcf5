"""The files made of a picture, as every engine is asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from image_service.domain.renditions import RENDITIONS, RenditionSpec, table, wanted

TWO_FILES = table(())
_ORIENTATION = 0x0112
_FIRST_ON_ITS_SIDE = 5

Outputs = list[dict[str, Any]]  # name, fit, side, quality, effort of each


def size(file: Path) -> tuple[int, int]:
    """Upright; only the header is read."""
    with Image.open(file) as picture:
        width, height = picture.size
        sideways = picture.getexif().get(_ORIENTATION, 1) >= _FIRST_ON_ITS_SIDE
    return (height, width) if sideways else (width, height)


def outputs(
    file: Path, effort: int | None = None, specs: Sequence[RenditionSpec] = RENDITIONS
) -> Outputs:
    """What the service makes of `file`; all at one `effort`, or each at the service's own."""
    return [
        {
            "name": spec.name,
            "fit": spec.fit,
            "side": spec.side,
            "quality": spec.quality,
            "effort": spec.effort if effort is None else effort,
        }
        for spec in wanted(specs, *size(file))
    ]
