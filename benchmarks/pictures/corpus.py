"""Photographs from a Debian package, and the kinds of files users make of such.

The package is fetched with apt (nothing is installed), each photograph is held to its hash,
and the variants are made by Pillow, so by no encoder that is measured against another here
but Pillow's own. All stays in .cache/, nothing is committed.
"""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image, ImageCms, ImageDraw, ImageOps

PACKAGE = "lomiri-wallpapers-16.04"
PHOTOGRAPHS = {
    "dragonfly": (
        "Dragonfly_by_Bolly.jpg",
        "af5af17841009732def24b09bb1e669a1b09d2b4bdeee7812c371101c30d2bb3",
    ),
    "figs": (
        "Picture_0B_by_freespace.jpg",
        "c8c0ab18e48d9e0419fe42881112137f3afafc27dfddc29ec3a6d54c56d225ad",
    ),
    "wine": (
        "Wine_by_Jakkub_Mede.jpg",
        "d2e96e6d4da40dd804b3d0ce295e94de04a2d7d9b6785d42cd9d92ba58bced74",
    ),
    "brook": (
        "life_by_Aitzol_Berasategi.jpg",
        "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
    ),
    "mountains": (
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
    ),
    "dandelion": (
        "seeding_by_Clements_Engelhardt.jpg",
        "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
    ),
    "sunset": (
        "sunset_by_Aitzol_Berasategi.jpg",
        "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
    ),
}
CACHE = Path(__file__).parents[2] / ".cache" / "bench" / "pictures"
_ORIENTATION = 0x0112
_MAX_BYTES = 10 * 2**20


def fetch() -> None:
    """The photographs, from the package, unless they are there. Raises RuntimeError."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if all((CACHE / f"{name}.orig").exists() for name in PHOTOGRAPHS):
        return
    with tempfile.TemporaryDirectory() as work:
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", PACKAGE]
        subprocess.run(download, cwd=work, check=True)
        subprocess.run(["dpkg-deb", "-x", next(Path(work).glob("*.deb")), work], check=True)
        for name, (file, sha256) in PHOTOGRAPHS.items():
            data = next(Path(work).rglob(file)).read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                raise RuntimeError(f"{file} of {PACKAGE} is not the photograph it was")
            (CACHE / f"{name}.orig").write_bytes(data)


def build(names: list[str] | None = None) -> dict[str, Path]:
    """Files of all kinds, or of those named; made once, then kept."""
    fetch()
    files = {}
    for name in names or KINDS:
        files[name] = CACHE / name
        if not files[name].exists():
            data = KINDS[name]()
            if len(data) > _MAX_BYTES:
                raise RuntimeError(f"{name} is larger than an upload may be: {len(data)} bytes")
            files[name].write_bytes(data)
    return files


def _as_taken(name: str) -> bytes:
    return (CACHE / f"{name}.orig").read_bytes()


def _photograph(name: str, width: int = 0, height: int = 0) -> Image.Image:
    """Scaled and cut to a size, if one is given."""
    picture = Image.open(io.BytesIO(_as_taken(name))).convert("RGB")
    if not width:
        return picture
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)


def _mirrored(name: str, width: int, height: int) -> Image.Image:
    """A larger picture as sharp as the photograph: it goes on as its own mirror image."""
    picture = _photograph(name)
    sheet = Image.new("RGB", (width, height))
    for row in range(0, height, picture.height):
        for column in range(0, width, picture.width):
            tile = picture if column == 0 else ImageOps.mirror(picture)
            sheet.paste(tile if row == 0 else ImageOps.flip(tile), (column, row))
    return sheet


def _encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    upright = _photograph("mountains")
    return _encoded(upright.transpose(Image.Transpose.ROTATE_90), quality=90, exif=exif)


def _profile(name: str) -> bytes:
    """An ICC profile that libvips carries: "cmyk" of a press, "p3" of a phone."""
    return bytes(pyvips.Operation.call("profile_load", name))


def _in_profile(name: str, profile: str, mode: str) -> bytes:
    colours = _profile(profile)
    converted = ImageCms.profileToProfile(
        _photograph(name),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(colours)),
        outputMode=mode,
    )
    return _encoded(converted, quality=90, icc_profile=colours)


def _screenshot() -> bytes:
    """Windows with lines of text and a photograph in one of them: flat areas, sharp edges."""
    dice = random.Random(1)
    sheet = Image.new("RGB", (2560, 1440), (236, 239, 244))
    draw = ImageDraw.Draw(sheet)
    for left, top, right, bottom in ((60, 60, 1500, 1380), (1560, 60, 2500, 800)):
        draw.rectangle((left, top, right, bottom), fill="white", outline=(120, 130, 150))
        draw.rectangle((left, top, right, top + 40), fill=(59, 66, 82))
        for line in range(top + 60, bottom - 20, 22):
            words = " ".join("".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9)))
                             for _ in range(dice.randint(4, (right - left) // 60)))  # fmt: skip
            draw.text((left + 20, line), words, fill=(46, 52, 64), font_size=16)
    sheet.paste(_photograph("figs", 940, 540), (1560, 840))
    return _encoded(sheet, "PNG")


def _cut_out() -> bytes:
    """A soft-edged oval of a photograph."""
    picture = _photograph("figs", 2000, 1400)
    picture.putalpha(ImageOps.invert(Image.radial_gradient("L")).resize(picture.size))
    return _encoded(picture, "PNG")


def _deep() -> bytes:
    """16 bits a channel, the lower ones of a gradient that 8 bits could not hold."""
    pixels = np.asarray(_photograph("brook", 1400, 934)).astype(np.float64) * 257
    pixels = np.clip(pixels + np.linspace(0, 256, pixels.shape[1])[None, :, None], 0, 65535)
    deep = pyvips.Image.new_from_array(pixels.astype(np.uint16), interpretation="rgb16")
    return bytes(deep.pngsave_buffer(bitdepth=16, compression=6))


KINDS: dict[str, Callable[[], bytes]] = {
    "JPEG 0.5 MP": lambda: _encoded(_photograph("figs", 800, 600), quality=85),
    "JPEG 2 MP": lambda: _encoded(_photograph("mountains", 1632, 1224), quality=90),
    "JPEG 12 MP": lambda: _encoded(_photograph("dragonfly", 4032, 3024), quality=92),
    "JPEG 24 MP": lambda: _encoded(_mirrored("dragonfly", 6000, 4000), quality=90),
    "JPEG 64 MP": lambda: _encoded(_mirrored("wine", 8000, 8000), quality=75),
    "JPEG 6 MP as published": lambda: _as_taken("brook"),  # these are progressive, 4:2:2
    "JPEG 8 MP as published": lambda: _as_taken("mountains"),
    "JPEG 10 MP as published": lambda: _as_taken("wine"),
    "JPEG 16 MP as published": lambda: _as_taken("dandelion"),
    "JPEG 12 MP progressive": lambda: _encoded(_photograph("sunset"), quality=90, progressive=True),
    "JPEG 8 MP on its side": _rotated,
    "JPEG 13 MP CMYK": lambda: _in_profile("dragonfly", "cmyk", "CMYK"),
    "JPEG 12 MP Display P3": lambda: _in_profile("sunset", "p3", "RGB"),
    "PNG screenshot": _screenshot,
    "PNG alpha": _cut_out,
    "PNG 16-bit": _deep,
    "WebP 16 MP": lambda: _encoded(_photograph("dandelion"), "WEBP", quality=85, method=2),
}
QUICK = ["JPEG 0.5 MP", "JPEG 2 MP"]
