"""The distance of a stored picture from what it should show.

Expectations are computed by Pillow from the test picture itself, each time, so there is
nothing that could be updated to fit a wrong result.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageFilter, ImageStat

from image_service.domain.pictures import EncodedPicture, ProcessedImage
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.ports import ImageProcessor

# In levels of 255. Small pictures full of edges are up to 5.5 off after WebP at quality 80
# by Pillow as well; `test_comparing` shows what the limits catch.
_MEAN_LIMIT = 6.0
_BLOCK_LIMIT = 20.0
_BLOCK_SIDE = 32  # pixels; WebP mixes colours over an edge, which smaller blocks would show


async def run(
    processor: ImageProcessor, data: bytes, specs: Sequence[RenditionSpec] = RENDITIONS
) -> ProcessedImage:
    return await processor.process(data, await processor.inspect(data), specs)


def opened(picture: EncodedPicture) -> Image.Image:
    """The stored picture as Pillow sees it; its size is what the processor said."""
    image = Image.open(io.BytesIO(picture.data))
    assert image.format == "WEBP"
    assert image.size == (picture.width, picture.height)
    image.load()
    return image


def assert_looks_like(picture: EncodedPicture, expected: Image.Image) -> None:
    """Fails if the picture is off by too much, on the whole or in any block."""
    image = opened(picture)
    assert image.size == expected.size
    assert ("A" in image.mode) == ("A" in expected.mode)
    difference = ImageChops.difference(_visible(image), _visible(expected))
    # A slight blur first: an edge half a pixel off is not what anyone would see.
    blurred = difference.filter(ImageFilter.BoxBlur(1))
    on_average = max(ImageStat.Stat(blurred).mean)
    blocks = [max(1, side // _BLOCK_SIDE) for side in image.size]
    in_blocks = max(high for _, high in blurred.resize(blocks, Image.Resampling.BOX).getextrema())
    assert on_average <= _MEAN_LIMIT, f"off by {on_average:.1f} levels on average"
    assert in_blocks <= _BLOCK_LIMIT, f"off by {in_blocks} levels in a block"


def _visible(image: Image.Image) -> Image.Image:
    """As it shows on grey, its alpha as a fourth band."""
    rgba = image.convert("RGBA")
    page = Image.new("RGBA", image.size, (128, 128, 128, 255))
    shown = Image.alpha_composite(page, rgba)
    shown.putalpha(rgba.getchannel("A"))
    return Image.merge("CMYK", shown.split())  # four plain bands, none treated as alpha
