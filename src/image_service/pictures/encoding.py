"""Encoding of pixels into a finished WebP file.

libvips computes the pixels and Pillow's libwebp encodes them, to the same bytes: libvips'
wheel carries a libwebp built for size (-Os), which takes 10 % more CPU (docs/benchmarks.md).
Pillow sees nothing of an upload but these pixels (its libwebp does, see `webp_status`).
"""

from __future__ import annotations

import io

from PIL import WebPImagePlugin  # noqa: F401 - else the first save loads all of Pillow's formats

from image_service.domain.errors import ProcessingFailed
from image_service.domain.pictures import EncodedPicture
from image_service.domain.renditions import RenditionSpec
from image_service.pictures.raster import Raster


def encode(raster: Raster, spec: RenditionSpec) -> EncodedPicture:
    """Returns `raster` as a file without any metadata. Raises ProcessingFailed.

    Nothing can stop the encoder: what is hardest for it, noise of 2048 x 2048 pixels that is
    transparent too, takes 0.8 s.
    """
    out = io.BytesIO()
    try:
        raster.in_pillow().save(out, spec.format, quality=spec.quality, method=spec.effort)
    except (OSError, ValueError) as error:
        raise ProcessingFailed from error
    return EncodedPicture(spec, out.getvalue(), *raster.size)
