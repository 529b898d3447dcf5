"""Memory that processing a picture takes, against the estimate from its header.

    python -m benchmarks.memory            the largest pictures of each kind; takes a minute
    python -m benchmarks.memory FILE ...   these

Each picture has a process of its own, warmed up with a small one; the peak is the kernel's
(VmHWM) above what the process had before. Linux only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tests import pictures

_WORKER = """
import re, sys
from pathlib import Path
from tests import pictures
from image_service.domain.renditions import RENDITIONS
from image_service.pictures.header import PictureLimits
from image_service.pictures import libvips
from image_service.pictures import pipeline
from image_service.pictures.header import read_header
from image_service.pictures.steps import Steps

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def process(data):
    source = read_header(data, PictureLimits())
    pipeline.process(data, source, RENDITIONS, Steps())
    return source.decode_bytes

libvips.configure()
data = Path(sys.argv[1]).read_bytes()
process(pictures.jpeg(300, 200))
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
reckoned = process(data)
print(reckoned, status("VmHWM") - before)
"""


class Cost(NamedTuple):
    """In bytes."""

    reckoned: int
    taken: int


def measure(data: bytes) -> Cost:
    """Process `data` in a fresh interpreter."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", _WORKER, file.name], check=True, capture_output=True, text=True
        )
    reckoned, taken = re.findall(r"-?\d+", done.stdout)
    return Cost(int(reckoned), int(taken))


def _drawn(mode: str, side: int) -> Image.Image:
    return pictures.scene(side, side, mode)


KINDS: dict[str, Callable[[int], bytes]] = {
    "JPEG": lambda side: pictures.encode(_drawn("RGB", side), "JPEG"),
    "JPEG, progressive 4:2:0": lambda side: pictures.encode(
        _drawn("RGB", side), "JPEG", progressive=True
    ),
    "JPEG, progressive 4:4:4": lambda side: pictures.encode(
        _drawn("RGB", side), "JPEG", progressive=True, subsampling=0
    ),
    "JPEG, progressive CMYK": lambda side: pictures.encode(
        _drawn("CMYK", side), "JPEG", progressive=True
    ),
    "PNG": lambda side: pictures.encode(_drawn("RGB", side), "PNG", compress_level=1),
    "PNG, interlaced": lambda side: pictures.png_of_pixels(_drawn("RGB", side), interlaced=True),
    "PNG, interlaced RGBA": lambda side: pictures.png_of_pixels(
        _drawn("RGBA", side), interlaced=True
    ),
    "PNG, interlaced 16-bit RGBA": lambda side: pictures.png_of_pixels(
        _drawn("RGBA", side), deep=True, interlaced=True
    ),
    "WebP": lambda side: pictures.encode(_drawn("RGB", side), "WEBP", method=0),
    "WebP, alpha": lambda side: pictures.encode(_drawn("RGBA", side), "WEBP", method=0),
    "PNG, 16-bit linear RGBA": lambda side: pictures.with_png_chunks(
        pictures.png_of_pixels(_drawn("RGBA", side), deep=True), (b"gAMA", b"\0\1\x86\xa0")
    ),
    "JPEG, CMYK": lambda side: pictures.encode(_drawn("CMYK", side), "JPEG"),
    "WebP, animation of one frame": lambda side: pictures.with_frames("WEBP", 1, size=(side, side)),
    "WebP, lossless": lambda side: pictures.encode(
        _drawn("RGB", side), "WEBP", lossless=True, method=0, quality=0
    ),
}


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]]
    named = [(file.name, file.read_bytes()) for file in files]
    for name, data in named or ((name, make(8000)) for name, make in KINDS.items()):
        cost = measure(data)
        print(
            f"{name:30} reckoned {cost.reckoned / 2**20:5.0f}  took {cost.taken / 2**20:5.0f} MiB"
        )


if __name__ == "__main__":
    main()
