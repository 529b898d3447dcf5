"""All files of a picture by Pillow, as its own documentation would have one do it."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageCms, ImageOps

from benchmarks.pictures.outputs import Outputs

_MAIN = (2048, 2048)


def pillow(data: bytes, outputs: Outputs) -> list[bytes]:
    picture = Image.open(io.BytesIO(data))
    picture.draft(None, _MAIN)  # a JPEG decodes to a half or a quarter, if that is enough
    picture = in_srgb(ImageOps.exif_transpose(picture))
    picture.thumbnail(_MAIN, Image.Resampling.LANCZOS)
    return [_webp(_sized(picture, output), output["quality"]) for output in outputs]


def _sized(main: Image.Image, output: dict[str, Any]) -> Image.Image:
    side = output["side"]
    if output["fit"] == "cover":
        return ImageOps.fit(main, (side, side), Image.Resampling.LANCZOS)
    picture = main.copy()
    height = side if output["fit"] == "inside" else main.height
    picture.thumbnail((side, height), Image.Resampling.LANCZOS)
    return picture


def in_srgb(picture: Image.Image) -> Image.Image:
    alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    mode = "RGBA" if alpha else "RGB"
    profile = picture.info.get("icc_profile")
    if not profile or alpha:
        return picture.convert(mode)
    return ImageCms.profileToProfile(
        picture,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode=mode,
    )


def _webp(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality)
    return out.getvalue()
