"""An upload's way from bytes to finished files, step by step, with a single decode."""

from __future__ import annotations

from typing import Final

from image_service.domain.pictures import ProcessedImage, SourceInfo
from image_service.pictures.decoding import decode
from image_service.pictures.dominant import dominant_color
from image_service.pictures.encoding import encode
from image_service.pictures.limits import EncodingOptions
from image_service.pictures.placeholder import likeness
from image_service.pictures.plan import Size, plan_sizes
from image_service.pictures.steps import Steps, cut_square, fit, shrink_to_tiny

_FORMAT: Final = "webp"


def process(
    data: bytes, source: SourceInfo, options: EncodingOptions, steps: Steps
) -> ProcessedImage:
    """Both pictures and the placeholders of `data`. Runs in a child.

    Raises InvalidImage for truncated or corrupt data, ProcessingFailed otherwise.
    """
    size = Size(source.width, source.height)
    plan = plan_sizes(
        size,
        main_size=options.main_size,
        thumbnail_size=options.thumbnail_size,
    )
    raster = steps.run(decode, data, source, plan.decoded)
    main = steps.run(fit, raster, plan.main)
    covering = steps.run(fit, raster, plan.covering)
    thumbnail = steps.run(cut_square, covering, plan.thumbnail_side)
    tiny = steps.run(shrink_to_tiny, covering, size)
    return ProcessedImage(
        main=steps.run(encode, main, options.main_quality, options.effort),
        thumbnail=steps.run(encode, thumbnail, options.thumbnail_quality, options.thumbnail_effort),
        format=_FORMAT,
        quality=options.main_quality,
        placeholder=steps.run(likeness, tiny),
        dominant_color=steps.run(dominant_color, covering.in_pillow()),
    )
