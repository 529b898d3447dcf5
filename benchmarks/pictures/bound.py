"""The lower bound: the codecs alone, each with every binding at hand.

The bound of a pipeline is the fastest full decode, the fastest encode of the main picture
and the fastest of the thumbnail: what is left over is scaling, colours, copies and Python.
(A pipeline can stay under it: by decoding a picture at half its size.)
"""

from __future__ import annotations

import io
import resource
from collections.abc import Callable, Mapping
from typing import Any

import pyvips
import simplejpeg
import webp
from PIL import Image

from image_service.domain.renditions import MAIN, RENDITIONS, THUMBNAIL, RenditionSpec

Pixels = pyvips.Image


def cpu_seconds() -> float:
    """Of this process, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(data: bytes) -> dict[str, dict[str, float]]:
    """CPU milliseconds: {"decode" | "main" | "thumbnail": {binding: ms}}."""
    specs = {spec.name: spec for spec in RENDITIONS}
    main, thumbnail = _outputs(data, specs)
    decoders = {"libvips": _decode_vips, "pillow": _decode_pillow}
    if data.startswith(b"\xff\xd8"):
        decoders["libjpeg-turbo"] = _decode_turbo
    return {
        "decode": {name: _cost(decode, data) for name, decode in decoders.items()},
        "main": _encoders(main, specs[MAIN]),
        "thumbnail": _encoders(thumbnail, specs[THUMBNAIL]),
    }


def _cost(step: Callable[..., Any], *arguments: Any) -> float:
    start = cpu_seconds()
    step(*arguments)
    return (cpu_seconds() - start) * 1000


def _outputs(data: bytes, specs: Mapping[str, RenditionSpec]) -> tuple[Pixels, Pixels]:
    box = specs[MAIN].side
    main = pyvips.Image.thumbnail_buffer(
        data, box, height=box, size="down", export_profile="srgb"
    ).copy_memory()
    side = min(specs[THUMBNAIL].side, main.width, main.height)
    return main, main.thumbnail_image(side, height=side, crop="centre").copy_memory()


def _decode_vips(data: bytes) -> None:
    pyvips.Image.new_from_buffer(data, "").copy_memory()


def _decode_pillow(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def _decode_turbo(data: bytes) -> None:
    colours = simplejpeg.decode_jpeg_header(data)[2]
    simplejpeg.decode_jpeg(data, colorspace="CMYK" if colours in {"CMYK", "YCCK"} else "RGB")


def _encoders(picture: Pixels, spec: RenditionSpec) -> dict[str, float]:
    pillow = Image.fromarray(picture.numpy())
    quality, effort = spec.quality, spec.effort
    settings = webp.WebPConfig.new(quality=quality)
    settings.method = effort
    source = webp.WebPPicture.from_numpy(picture.numpy())
    return {
        "libvips": _cost(lambda: picture.webpsave_buffer(Q=quality, effort=effort, keep="none")),
        "pillow": _cost(lambda: pillow.save(io.BytesIO(), "WEBP", quality=quality, method=effort)),
        "webp": _cost(lambda: source.encode(settings)),
    }
