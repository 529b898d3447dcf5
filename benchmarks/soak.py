"""Memory of the real server over thousands of uploads, by allocator.

Hypothesis: with jemalloc, as in the container, resident memory after the warm-up stays where
it is; glibc's malloc keeps more of what libvips' threads gave back, but does not grow without
end either. Load: `--concurrency` clients upload pictures of several sizes to
`image-service serve` on the embedded emulator; the first `--warm-up` uploads don't count.
Memory is that of the server and its children, what they share counted once (Pss of
/proc/PID/smaps_rollup), so Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from benchmarks import documents, results
from benchmarks.children import family
from benchmarks.serving import server
from image_service.devstack import stack
from image_service.devstack.emulator import started_emulator
from image_service.devstack.state import held
from image_service.devstack.tokens import local_token

JEMALLOC = (
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2",
)
SIZES = ((400, 300), (800, 600), (1600, 1200), (3000, 2000), (4000, 3000))
KINDS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")  # as phones and web pages send them


def pictures(seed: int = 1) -> list[bytes]:
    """A few of each size and kind, noisy enough to make the encoder work."""
    dice, made = random.Random(seed), []
    for width, height in SIZES:
        for kind in KINDS:
            grain = Image.frombytes("RGB", (width // 8, height // 8), dice.randbytes(
                (width // 8) * (height // 8) * 3))  # fmt: skip
            out = io.BytesIO()
            options = {"compress_level": 1} if kind == "PNG" else {"quality": 85}
            grain.resize((width, height), Image.Resampling.BICUBIC).save(out, kind, **options)
            made.append(out.getvalue())
    return [data for data in made if len(data) < 10 * 2**20]


@dataclass
class Figures:
    """Bytes of memory at the start, after the warm-up, at most and at the end."""

    start: int = 0
    warm: int = 0
    most: int = 0
    end: int = 0
    uploads: int = 0
    seconds: float = 0.0


def resident(pid: int) -> int:
    return sum(map(_resident_share, family(pid)))


def _resident_share(pid: int) -> int:
    """Bytes; 0 of a child that has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        shares = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(found) * 1024 for found in re.findall(r"\nPss:\s+(\d+)", shares))
    return 0


async def soak(pid: int, url: str, token: str, options: argparse.Namespace) -> Figures:
    files, figures = pictures(), Figures(start=resident(pid))
    headers = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    numbers = iter(range(options.uploads))

    async def one_client(client: httpx.AsyncClient) -> None:
        for number in numbers:
            file = {"file": files[number % len(files)]}
            answer = await client.post("/images", files=file)
            while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                await asyncio.sleep(1)
                answer = await client.post("/images", files=file)
            answer.raise_for_status()
            # Deleted again, so that the emulator, which keeps all in memory, stays small.
            (await client.delete(answer.headers["location"])).raise_for_status()
            figures.uploads += 1
            now = resident(pid)
            figures.most = max(figures.most, now)
            if figures.uploads == options.warm_up:
                figures.warm = now

    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=120, trust_env=False
    ) as client:
        await asyncio.gather(*(one_client(client) for _ in range(options.concurrency)))
        await asyncio.sleep(2)
    figures.end = resident(pid)
    figures.seconds = time.monotonic() - began
    return figures


def allocators() -> dict[str, str | None]:
    found = next((path for path in JEMALLOC if Path(path).exists()), None)
    return {"glibc": None} | ({"jemalloc": found} if found else {})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--uploads", type=int, default=2_000)
    parser.add_argument("--warm-up", type=int, help="uploads that do not count; a tenth")
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    options.warm_up = options.warm_up or max(1, options.uploads // 10)
    by_allocator = {name: run(preload, options) for name, preload in allocators().items()}
    rows = [row(name, figures) for name, figures in by_allocator.items()]
    text = documents.table(HEAD, rows)
    print(text)
    documents.replace_block("soak", f"{documents.conditions()}\n\n{text}")
    section = {
        f"rss_growth_{name}": figures.end / figures.warm - 1
        for name, figures in by_allocator.items()
    }
    # As the container runs it, where jemalloc is at hand.
    section["rss_growth"] = section.get("rss_growth_jemalloc", section["rss_growth_glibc"])
    results.merge({"soak": {**section, "uploads": options.uploads, "warm_up": options.warm_up}})


HEAD = ("allocator", "uploads", "start, MiB", "warm", "most", "end", "growth", "seconds")


def run(preload: str | None, options: argparse.Namespace) -> Figures:
    with (
        tempfile.TemporaryDirectory() as folder,
        held(Path(folder)) as state,
        started_emulator() as emulator,
        server(stack.local_stack(state, emulator), preload) as running,
    ):
        token = local_token(state.path, "soak", ttl_seconds=86_400)
        return asyncio.run(soak(running.pid, running.url, token, options))


def row(name: str, figures: Figures) -> list[str]:
    memory = (figures.start, figures.warm, figures.most, figures.end)
    return [
        name,
        str(figures.uploads),
        *(f"{value / 2**20:.0f}" for value in memory),
        f"{figures.end / figures.warm - 1:+.1%}",
        f"{figures.seconds:.0f}",
    ]


if __name__ == "__main__":
    main()
