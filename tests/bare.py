"""The README's commands on a machine that has nothing else, timed.

    python3.11 tests/bare.py [--pip 23.0.1] [--only-run]

A clean clone of HEAD, a new folder as HOME, and on PATH links to this Python, make, git, a shell
and coreutils. There `make run` starts from cold caches, takes a picture, stops, and starts again
with that picture; and `make test` passes. `--pip` names a release that .venv holds already,
instead of the one that this Python brings: Debian 12 has 23.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
COREUTILS = """basename cat chmod cp cut date dirname env false head id ln ls mkdir mktemp mv nproc
printf pwd readlink realpath rm rmdir sleep sort stat tail tee test touch tr true uname wc"""
PROGRAMS = ("make", "git", "sh", "bash", *COREUTILS.split())
# How this machine reaches the package index; nothing else is passed on.
PASSED_ON = ("PIP_", "UV_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PATIENCE_SECONDS = 600  # plain pip over a slow line


class Machine:
    """What a new machine holds, in a folder of this one."""

    def __init__(self, folder: Path, pip: str | None) -> None:
        self.clone = folder / "clone"
        self._port = free_port()
        self._environment = {
            name: value for name, value in os.environ.items() if name.upper().startswith(PASSED_ON)
        } | {"HOME": str(folder / "home"), "PATH": str(folder / "bin"), "LANG": "C.UTF-8"}
        for name in ("home", "bin"):
            (folder / name).mkdir()
        for program in PROGRAMS:
            (folder / "bin" / program).symlink_to(found(program))
        (folder / "bin" / "python3").symlink_to(Path(sys._base_executable).resolve())
        subprocess.run(["git", "clone", "--quiet", ROOT, self.clone], check=True)
        if pip is not None:
            self.run("python3", "-m", "venv", ".venv")
            self.run(".venv/bin/python", "-m", "pip", "install", "--quiet", f"pip=={pip}")

    def run(self, *command: str) -> str:
        """What the command prints, which is shown too; ends this where it fails."""
        done = subprocess.run(
            command,
            cwd=self.clone,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        say(done.stdout.strip())
        if done.returncode != 0:
            sys.exit(f"`{' '.join(command)}` failed")
        return done.stdout.strip()

    def upload(self, url: str) -> str:
        """The URL of a new image's picture; sends it as a user does."""
        command = [self.clone / ".venv/bin/image-service", "token", "--user", "alice"]
        token = subprocess.check_output(
            command, cwd=self.clone, env=self._environment, text=True
        ).strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data"}
        request = urllib.request.Request(f"{url}/images", FORM, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(json.load(answer)["imageUrl"])

    @contextmanager
    def service(self, label: str) -> Iterator[str]:
        """`make run`, until Ctrl-C; yields its URL once it answers, and prints how long it took."""
        url = f"http://127.0.0.1:{self._port}"
        start = time.monotonic()
        process = subprocess.Popen(
            ["make", "run", f"ARGS=--port {self._port}"],
            cwd=self.clone,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # its log; what goes wrong is on stderr
            start_new_session=True,  # as a terminal has it: Ctrl-C goes to all of it
        )
        try:
            while not answers(url):
                if process.poll() is not None:
                    sys.exit(f"`make run` ended with {process.returncode}")
                if time.monotonic() - start > PATIENCE_SECONDS:
                    sys.exit(f"`make run` did not answer within {PATIENCE_SECONDS} s")
                time.sleep(0.05)
            say(f"{label}: answers after {time.monotonic() - start:.1f} s")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if answers(url):
            sys.exit(f"{url} still answers after Ctrl-C")


def found(program: str) -> str:
    if path := shutil.which(program):
        return path
    sys.exit(f"{program} is needed to make a bare machine")


def free_port() -> int:
    """Below those that systems hand out by themselves: it is bound only once all is installed."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def open_all(pictures: list[str]) -> None:
    for url in pictures:
        with urllib.request.urlopen(url, timeout=30) as answer:
            if answer.read(4) != b"RIFF":
                sys.exit(f"{url} is no WebP")


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x20\x60\xa0" * width) * height)
    chunks = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


FORM = (
    b'--bare\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    + png(200, 150)
    + b"\r\n--bare--\r\n"
)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Prints what a step took; CPU seconds of processes that have ended."""
    start, used = time.monotonic(), cpu_seconds()
    try:
        yield
    finally:
        say(f"{name}: {time.monotonic() - start:.0f} s, {cpu_seconds() - used:.0f} s of CPU")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pip", metavar="VERSION")
    parser.add_argument("--only-run", action="store_true", help="without `make test`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        machine = Machine(Path(folder), options.pip)
        with step("make run, twice"):
            with machine.service("make run, from nothing") as url:
                machine.run(".venv/bin/python", "-m", "pip", "--version")
                pictures = [machine.upload(url)]
                open_all(pictures)
            with machine.service("make run, again") as url:
                pictures.append(machine.upload(url))
                open_all(pictures)
        if not options.only_run:
            with step("make setup"):
                machine.run("make", "setup")
            with step("make test"):
                machine.run("make", "test")


if __name__ == "__main__":
    main()
