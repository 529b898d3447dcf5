"""CPU time a picture takes, from bytes to both WebP files.

Hypothesis: the cost follows the main WebP encode and, for large pictures, the decode; so it
grows far slower than the megapixels of the upload. Synthetic pictures (gradients under
noise, seeded) stand in for photographs: good for comparing one build with the next on one
machine, not for comparing services. Medians over `--rounds`, after one warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import platform
import statistics
import time

import pyvips
from PIL import Image, ImageFilter

from image_service.adapters.vips import EncodingOptions, PictureLimits, VipsProcessor

SIZES = {"0.5 MP": (800, 600), "2 MP": (1633, 1225), "12 MP": (4000, 3000), "24 MP": (6000, 4000)}


def picture(width: int, height: int) -> bytes:
    """A JPEG of about the detail of a photograph: about 2 bits a pixel."""
    noise = Image.effect_noise((width, height), 40).filter(ImageFilter.GaussianBlur(1))
    ramp = Image.linear_gradient("L").resize((width, height))
    out = io.BytesIO()
    Image.merge("RGB", (ramp, noise, Image.blend(ramp, noise, 0.5))).save(out, "JPEG", quality=90)
    return out.getvalue()


async def measure(processor: VipsProcessor, data: bytes, rounds: int) -> tuple[float, float, int]:
    """Median CPU and wall milliseconds a picture, and the bytes of the main picture."""
    cpu, wall, size = [], [], 0
    for turn in range(rounds + 1):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        made = await processor.process(data, await processor.inspect(data))
        if turn:  # the first warms up
            cpu.append((time.process_time() - cpu_start) * 1000)
            wall.append((time.perf_counter() - wall_start) * 1000)
        size = len(made.main.data)
    return statistics.median(cpu), statistics.median(wall), size


async def run(rounds: int, efforts: list[int]) -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}", end=", ")
    print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)))
    print(f"{'picture':>8} {'effort':>6} {'CPU ms':>8} {'wall ms':>8} {'in KB':>7} {'out KB':>7}")
    for name, (width, height) in SIZES.items():
        data = picture(width, height)
        for effort in efforts:
            processor = VipsProcessor(
                limits=PictureLimits(), options=EncodingOptions(effort=effort), worker_threads=1
            )
            cpu, wall, size = await measure(processor, data, rounds)
            processor.close()
            print(
                f"{name:>8} {effort:>6} {cpu:8.1f} {wall:8.1f}"
                f" {len(data) / 1000:7.0f} {size / 1000:7.0f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--efforts", type=int, nargs="+", default=[2, 4])
    options = parser.parse_args()
    asyncio.run(run(options.rounds, options.efforts))
