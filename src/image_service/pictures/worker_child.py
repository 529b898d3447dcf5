"""One child process, seen from the worker thread that owns it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from image_service.pictures.messages import receive, send

COMMAND: Final = (sys.executable, "-I", "-m", "image_service.pictures.child")
START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 2.0
# All of the environment that a child gets: what the loader and the allocator read.
_ENVIRONMENT: Final = ("LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_CONF")


class ChildLost(Exception):
    """The child ended, or sent what is no message, before it had responded.

    `cpu_seconds` it took since it was asked; None where the system does not say.
    """

    def __init__(self, returncode: int, cpu_seconds: float | None = None) -> None:
        self.returncode = returncode
        self.cpu_seconds = cpu_seconds
        super().__init__(f"the child ended with {returncode}")


class ChildNotStarted(RuntimeError):
    """No child could be started; the text says why."""


class WorkerChild:
    """A running child that has said it is ready.

    One thread calls it, and must live as long as it does; any thread may `kill` it.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        """Start it and wait until it is ready. Raises ChildNotStarted."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the parent
            )
        except OSError as error:
            raise ChildNotStarted(str(error)) from error
        self._used: float | None = 0.0
        self._requests = cast("BinaryIO", self._process.stdin)
        self._responses = cast("BinaryIO", self._process.stdout)
        clock = threading.Timer(START_SECONDS, self.kill)
        clock.start()
        try:
            head, _ = self._receive()
        except ChildLost as lost:
            late = clock.finished.is_set()
            cause = f"it was not ready within {START_SECONDS:g} s" if late else str(lost)
            raise ChildNotStarted(cause) from lost
        finally:
            clock.cancel()
        if "ready" not in head:
            self.close()
            raise ChildNotStarted(str(head.get("failed")))
        self.libvips = str(head["ready"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, head: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """The child's response to one request. Raises ChildLost; then it is dead and reaped."""
        self._used = self._cpu_seconds()
        try:
            send(self._requests, head, [body])
        except OSError:
            raise self._lost() from None
        return self._receive()

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        try:
            return receive(self._responses)
        except (OSError, EOFError, ValueError, RecursionError):  # the last of nested JSON
            raise self._lost() from None

    def _lost(self) -> ChildLost:
        before, used = self._used, self._cpu_seconds()  # known until it is reaped
        taken = None if before is None or used is None else used - before
        return ChildLost(self.close(), taken)

    def _cpu_seconds(self) -> float | None:
        """Returns the CPU of all its threads, in steps of 0.01 s; None without /proc (macOS)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return None
        user, system = stat.rpartition(")")[2].split()[11:13]  # behind its name: proc(5)
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> int:
        """End it, where it has not ended yet. Returns its exit code, negative for a signal.

        Without its pipes it ends by itself; what does not is killed.
        """
        for pipe in (self._requests, self._responses):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _environment() -> dict[str, str]:
    # glibc would set addresses aside for each thread, and they count against the limit.
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {"MALLOC_ARENA_MAX": "2", **kept}
