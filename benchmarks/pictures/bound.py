"""The lower bound: the codecs alone, each with every binding at hand.

The bound of a pipeline is the fastest full decode and the fastest encode of each file: what
is left over is scaling, colours, copies and Python. (A pipeline can stay under it: by decoding
a picture at half its size.)
"""

from __future__ import annotations

import io
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvips
import simplejpeg
import webp
from PIL import Image

from benchmarks.pictures import outputs
from image_service.domain.renditions import RENDITIONS, RenditionSpec, wanted

_ANY_HEIGHT = 100_000
Pixels = pyvips.Image


def cpu_seconds() -> float:
    """Of this process, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(file: Path) -> dict[str, dict[str, float]]:
    """CPU milliseconds: {"decode" | name of a rendition: {binding: ms}}."""
    data = file.read_bytes()
    decoders = {"libvips": _decode_vips, "pillow": _decode_pillow}
    if data.startswith(b"\xff\xd8"):
        decoders["libjpeg-turbo"] = _decode_turbo
    decoding = {name: _cost(decode, data) for name, decode in decoders.items()}
    encoding = {
        spec.name: _encoders(_pixels(data, spec), spec)
        for spec in wanted(RENDITIONS, *outputs.size(file))
    }
    return {"decode": decoding, **encoding}


def _cost(step: Callable[..., Any], *arguments: Any) -> float:
    start = cpu_seconds()
    step(*arguments)
    return (cpu_seconds() - start) * 1000


def _pixels(data: bytes, spec: RenditionSpec) -> Pixels:
    """What is encoded, made in any way."""
    height = _ANY_HEIGHT if spec.fit == "width" else spec.side
    crop = "centre" if spec.fit == "cover" else "none"
    return pyvips.Image.thumbnail_buffer(
        data, spec.side, height=height, size="down", crop=crop, export_profile="srgb"
    ).copy_memory()


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
