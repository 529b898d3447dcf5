"""The processes of a run: started on free loopback ports, pinned to a core, ended by id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import family

_START_SECONDS = 180  # on a machine with other work, too
_STOP_SECONDS = 20
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}


@dataclass(frozen=True)
class Running:
    """A process that answers at `url`."""

    name: str
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time so far of all its threads and children (proc(5), /proc/pid/stat)."""
        return sum(map(_ticks, family(self.pid))) * _TICK

    def resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} is gone")


def _ticks(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def cores() -> tuple[str | None, str | None]:
    """One for the server that is measured, the others for all else; None where there is one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return None, None
    return str(available[0]), ",".join(map(str, available[1:]))


def pinned(command: Sequence[str], core: str | None) -> list[str]:
    return [*(("taskset", "-c", core) if core else ()), *command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def required(program: str, remedy: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"{program} is needed: {remedy}")
    return path


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[Running]:
    """`command`, from when its port takes connections; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, **_NO_PROXY},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait(process, port, log)
            yield Running(name, f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
        except urllib.error.HTTPError:
            return  # a refusal is an answer
        except OSError as error:
            if "Connection refused" not in str(error):
                return  # it listens, and speaks something else
        else:
            return
        time.sleep(0.05)
    raise SystemExit(f"{log.stem} did not start:\n{log.read_text()[-2000:]}")
