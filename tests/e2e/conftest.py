"""The real commands, in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "image-service"
START_SECONDS = 60


@dataclass
class Running:
    """A started command; `output` grows while it runs."""

    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match of `pattern` in the output so far or still to come."""
        assert self.process.stdout is not None
        for line in [*self.output, ""]:
            if found := re.search(pattern, line):
                return found
        for line in self.process.stdout:
            self.output.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} in:\n{''.join(self.output)}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        try:
            rest, _ = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.output += rest.splitlines(keepends=True)
        return self.process.returncode


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    running = Running(process)
    with process:  # closes its pipe
        try:
            yield running
        finally:
            timer.cancel()
            if process.poll() is None:
                running.stop()


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def dev(state_dir: Path) -> Iterator[Running]:
    """`image-service dev` on a free port."""
    with started("dev", "--port", "0", "--state-dir", str(state_dir)) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="session")
def url(dev: Running) -> str:
    return dev.wait_for(r"(http://\S+)/docs")[1]
