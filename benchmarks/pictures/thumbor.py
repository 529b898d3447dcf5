"""thumbor beside the others: its server in a process of its own, asked for every file.

It is asked by URL, as its users do; its CPU time is the server's, HTTP included. It decodes
with Pillow and keeps embedded profiles instead of converting by them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
from tools import locks

from benchmarks.pictures.outputs import Outputs

_ROOT = Path(__file__).parents[2]
_HOME = _ROOT / ".cache" / "bench" / "thumbor"
_REQUIREMENTS = _ROOT / "requirements" / "bench-thumbor.txt"
# derpconf has no wheel.
_HASHED = (
    "--require-hashes",
    "--only-binary=:all:",
    "--no-binary=derpconf",
    "--no-build-isolation",
)
_CONFIGURATION = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = "/"
STORAGE = "thumbor.storages.no_storage"
RESPECT_ORIENTATION = True
MAX_PIXELS = 100_000_000
ENGINE_THREADPOOL_SIZE = 0
"""
_SIZES = {"inside": "fit-in/{0}x{0}", "cover": "{0}x{0}", "width": "{0}x0"}
_START_SECONDS = 30


def install() -> None:
    """Into .cache/, from its lock file."""
    mark = _HOME / "installed.txt"
    if mark.exists() and mark.read_bytes() == _REQUIREMENTS.read_bytes():
        return
    venv.create(_HOME, clear=True, with_pip=True)
    pip = [_HOME / "bin" / "python", "-m", "pip", "install", "--quiet", *_HASHED]
    for lock in (_ROOT / "requirements" / "build.txt", _REQUIREMENTS):
        subprocess.run([*pip, "-r", lock], check=True)
    locks.check([str(_REQUIREMENTS)], list(map(str, _HOME.glob("lib/python*/site-packages"))))
    (_HOME / "thumbor.conf").write_text(_CONFIGURATION)
    mark.write_bytes(_REQUIREMENTS.read_bytes())


class Thumbor:
    def __init__(self, pid: int, url: str) -> None:
        self._pid = pid
        self._client = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False)

    def cpu_seconds(self) -> float:
        """Of the server's only thread that works; the kernel counts nanoseconds."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9

    def peak_rss_mib(self) -> float:
        status = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024

    async def process(self, file: Path, outputs: Outputs) -> list[bytes]:
        return [
            await self._get(
                f"{_SIZES[each['fit']].format(each['side'])}/filters:format(webp):"
                f"quality({each['quality']})",
                file,
            )
            for each in outputs
        ]

    async def _get(self, options: str, file: Path) -> bytes:
        answer = await self._client.get(f"/unsafe/{options}/{quote(str(file)[1:])}")
        return answer.raise_for_status().content


@contextmanager
def running() -> Iterator[Thumbor]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_HOME / "bin" / "thumbor", "-i", "127.0.0.1", "-p", str(port), "-l", "error"]
    process = subprocess.Popen(
        [*command, "-c", _HOME / "thumbor.conf"], stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url)
        yield Thumbor(process.pid, url)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        with suppress(httpx.TransportError):
            httpx.get(f"{url}/healthcheck", trust_env=False).raise_for_status()
            return
        time.sleep(0.1)
    raise RuntimeError("thumbor did not start")
