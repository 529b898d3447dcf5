"""The real commands, in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.logs import shortened

COMMAND = Path(sys.executable).parent / "image-service"
START_SECONDS = 180  # it takes up to 10 s of CPU where no bytecode is kept


class Running:
    """A started command; what it prints is collected as it comes, or its pipe would fill."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first match of `pattern` in the output so far or still to come."""

        def found() -> re.Match[str] | None:
            return next((hit for line in self.output if (hit := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or not self._reader.is_alive(), seconds)
            hit = found()
        assert hit, f"no {pattern!r} in:\n{shortened(''.join(self.output))}"
        return hit

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal; the exit code once it has ended and all it said is collected."""
        self.process.send_signal(signal_number)
        try:
            code = self.process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(START_SECONDS)
        return code


@contextmanager
def started(
    *arguments: str,
    through: Sequence[str] = (),
    command: Sequence[str] = (str(COMMAND),),
    **environment: str,
) -> Iterator[Running]:
    """Without an operations port, unless one is asked for: "" is the default one.

    For that, servers that run side by side would contend. `through` is a command that runs
    the command that follows it; `command` another one than `image-service`.
    """
    process = subprocess.Popen(
        [*through, *command, *arguments],
        env={**os.environ, "IMAGE_SERVICE_OPS_PORT": "0", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:  # closes its pipe
        running = Running(process)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.stop()


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def dev(state_dir: Path) -> Iterator[Running]:
    """`image-service dev` on a free port."""
    with started("dev", "--port", "0", "--state-dir", str(state_dir)) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


@pytest.fixture(scope="module")
def url(dev: Running) -> str:
    return dev.wait_for(r"(http://\S+)/docs")[1]
