"""Memory of the real server over thousands of uploads, by allocator.

Hypothesis: with jemalloc, as in the container, resident memory after the warm-up stays where
it is; glibc's malloc keeps more of what libvips' threads gave back, but does not grow without
end either. Load: `--concurrency` clients upload pictures of several sizes to
`image-service serve` on the embedded emulator; the first `--warm-up` uploads don't count.
Resident memory (VmRSS) is read from /proc, so Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from image_service.devstack import stack

COMMAND = Path(sys.executable).parent / "image-service"
JEMALLOC = (
    "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
    "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2",
)
SIZES = ((400, 300), (800, 600), (1600, 1200), (3000, 2000), (4000, 3000))
KINDS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")  # as phones and web pages send them
START_SECONDS = 60


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
    """Bytes of resident memory at the start, after the warm-up, at most and at the end."""

    start: int = 0
    warm: int = 0
    most: int = 0
    end: int = 0
    uploads: int = 0
    seconds: float = 0.0


@contextmanager
def server(environment: dict[str, str], preload: str | None) -> Iterator[tuple[int, str]]:
    """Its process id and URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, **environment, **stack.WITHOUT_PROXY}
    env |= {
        "IMAGE_SERVICE_PORT": str(port),
        "IMAGE_SERVICE_LOG_LEVEL": "error",
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute",
        "IMAGE_SERVICE_DRAIN_SECONDS": "0",
    }
    if preload:
        env["LD_PRELOAD"] = preload
    process = subprocess.Popen([COMMAND, "serve"], env=env, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url)
        yield process.pid, url
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(url: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


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
    parser.add_argument("--warm-up", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    print(f"{'allocator':>10} {'uploads':>8} {'start':>7} {'warm':>7} {'most':>7} {'end':>7}  MiB")
    for name, preload in allocators().items():
        with (
            tempfile.TemporaryDirectory() as state,
            stack.local_stack(Path(state)) as environment,
            server(dict(environment), preload) as (pid, url),
        ):
            token = stack.local_token(Path(state), "soak", ttl_seconds=86_400)
            figures = asyncio.run(soak(pid, url, token, options))
        memory = (figures.start, figures.warm, figures.most, figures.end)
        columns = " ".join(f"{value / 2**20:7.0f}" for value in memory)
        print(f"{name:>10} {figures.uploads:>8} {columns}  in {figures.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
