"""An upload's way from bytes to finished files, step by step, with a single decode."""

from __future__ import annotations

from collections.abc import Sequence

from image_service.domain.pictures import ProcessedImage, SourceInfo
from image_service.domain.renditions import RenditionSpec
from image_service.pictures.decoding import decode
from image_service.pictures.dominant import dominant_color
from image_service.pictures.encoding import encode
from image_service.pictures.placeholder import likeness
from image_service.pictures.plan import Size, plan_sizes
from image_service.pictures.steps import Steps, cut_square, fit, shrink_to_tiny


def process(
    data: bytes, source: SourceInfo, specs: Sequence[RenditionSpec], steps: Steps
) -> ProcessedImage:
    """Returns the wanted renditions and the placeholders of `data`. Runs in a child.

    Raises InvalidImage for truncated or corrupt data, ProcessingFailed otherwise.
    """
    size = Size(source.width, source.height)
    plan = plan_sizes(size, specs)
    raster = steps.run(decode, data, source, plan.decoded)
    made = {}
    for output in plan.outputs:
        raster = steps.run(fit, raster, output.whole)
        if output == plan.sketched:
            sketched = raster
        shown = steps.run(cut_square, raster) if output.is_square else raster
        made[output.spec.name] = steps.run(encode, shown, output.spec)
    tiny = steps.run(shrink_to_tiny, sketched, size)
    return ProcessedImage(
        pictures={spec.name: made[spec.name] for spec in specs if spec.name in made},
        placeholder=steps.run(likeness, tiny),
        dominant_color=steps.run(dominant_color, sketched.in_pillow()),
    )
