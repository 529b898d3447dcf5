"""Both pictures by Pillow, as its own documentation would have one do it."""

from __future__ import annotations

import io

from PIL import Image, ImageCms, ImageOps

_MAIN, _THUMBNAIL = (2048, 2048), (400, 400)


def pillow(data: bytes) -> tuple[bytes, bytes]:
    picture = Image.open(io.BytesIO(data))
    picture.draft(None, _MAIN)  # a JPEG decodes to a half or a quarter, if that is enough
    picture = in_srgb(ImageOps.exif_transpose(picture))
    main = picture.copy()
    main.thumbnail(_MAIN, Image.Resampling.LANCZOS)
    thumbnail = ImageOps.fit(main, _THUMBNAIL, Image.Resampling.LANCZOS)
    return _webp(main, 85), _webp(thumbnail, 80)


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
