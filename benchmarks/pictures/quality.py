"""The distance of an output from a reference that no engine made.

The reference is the full decode by Pillow, brought to sRGB by LittleCMS, upright, scaled
once with Lanczos: for a JPEG never from a reduced decode, for CMYK before the scaling. Two
metrics: SSIM of the brightness (Gaussian window, as Wang et al. 2004) and SSIMULACRA2,
which looks at colour too and follows human judgement better. Transparent pictures are
judged on mid-grey.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage.metrics import structural_similarity
from ssimulacra2 import compute_ssimulacra2

from benchmarks.pictures.rivals import in_srgb
from image_service.domain.renditions import RENDITIONS, RenditionSpec, wanted

Metric = Callable[[Image.Image, Image.Image], float]
_GREY = (128, 128, 128)


class Reference:
    """What the outputs for `file` should look like."""

    def __init__(self, file: Path) -> None:
        picture = ImageOps.exif_transpose(Image.open(file))
        whole = _on_grey(in_srgb(picture))
        self.specs = wanted(RENDITIONS, *whole.size)
        self._wanted = {
            spec.name: _shown(_scaled(whole, spec.scale(*whole.size)), spec) for spec in self.specs
        }

    def ssim(self, made: Mapping[str, bytes]) -> dict[str, float]:
        """1 for equal pictures."""
        return self._scores(_ssim, made)

    def ssimulacra2(self, made: Mapping[str, bytes]) -> dict[str, float]:
        """100 for equal pictures; 90 can't be told apart, 70 is high quality. Takes seconds."""
        return self._scores(_ssimulacra2, made)

    def _scores(self, metric: Metric, made: Mapping[str, bytes]) -> dict[str, float]:
        return {
            name: max(metric(each, _opened(data)) for each in self._wanted[name])
            for name, data in made.items()
        }


def _shown(covering: Image.Image, spec: RenditionSpec) -> list[Image.Image]:
    """The whole picture, or the squares that may be cut from it."""
    if spec.fit != "cover":
        return [covering]
    side = min(covering.size)
    return [
        covering.crop((left, top, left + side, top + side))
        for left in _halves(covering.width - side)
        for top in _halves(covering.height - side)
    ]


def _halves(spare: int) -> set[int]:
    """Of an odd number of pixels to cut off, either side may lose one more."""
    return {spare // 2, (spare + 1) // 2}


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _same_size(reference: Image.Image, made: Image.Image) -> Image.Image:
    """Engines round differently, by a pixel at most."""
    if made.size == reference.size:
        return reference
    return reference.resize(made.size, Image.Resampling.LANCZOS)


def _ssim(reference: Image.Image, made: Image.Image) -> float:
    return float(
        structural_similarity(
            np.asarray(_same_size(reference, made).convert("L")),
            np.asarray(made.convert("L")),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def _ssimulacra2(reference: Image.Image, made: Image.Image) -> float:
    with tempfile.TemporaryDirectory() as work:
        files = [str(Path(work) / name) for name in ("reference.png", "made.png")]
        for file, picture in zip(files, (_same_size(reference, made), made), strict=True):
            picture.save(file, compress_level=0)
        return float(compute_ssimulacra2(*files))


def _opened(output: bytes) -> Image.Image:
    return _on_grey(Image.open(io.BytesIO(output)))


def _on_grey(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    sheet = Image.new("RGBA", picture.size, (*_GREY, 255))
    return Image.alpha_composite(sheet, picture).convert("RGB")
