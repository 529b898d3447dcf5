"""The state directory of the local stack: its lock, its format, and what runs on it now.

- stack.json: the format of what is kept, and the port of the last run
- running.json: locked while a stack runs; says which process, and how to reach it
- emulator/: items and files
- issuer-key.pem, auth.txt: the key that signs tokens, and a header for curl
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

_FORMAT: Final = 1
_RUNNING: Final = "running.json"
_STACK: Final = "stack.json"
_EMULATOR: Final = "emulator"
_KEPT: Final = (_EMULATOR, "issuer-key.pem", "auth.txt")
# The emulator of a killed stack saves its state, then goes.
_LEAVING_SECONDS: Final = 15


class LocalStackError(Exception):
    """The local stack can't do what was asked; one line with the remedy."""


class StateDir:
    """A state directory that is this process' own until it ends."""

    def __init__(self, path: Path, lock: TextIO) -> None:
        self.path = path
        self._lock = lock

    @property
    def emulator(self) -> Path:
        return self.path / _EMULATOR

    @property
    def lock(self) -> int:
        """The descriptor that holds it; whoever inherits that, holds it too."""
        return self._lock.fileno()

    @property
    def port(self) -> int:
        """The port of the last run; 0 where there was none."""
        port = _read(self.path / _STACK).get("port")
        return port if isinstance(port, int) else 0

    def remember(self, port: int) -> None:
        _replace(self.path / _STACK, {"format": _FORMAT, "port": port})

    def announce(self, **running: Any) -> None:
        """Write down what runs here, for other commands."""
        self._lock.seek(0)
        self._lock.truncate()
        json.dump({"pid": os.getpid(), **running}, self._lock)
        self._lock.flush()

    def write_private(self, name: str, text: str) -> Path:
        """A file that only its owner can read."""
        path = self.path / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return path


@contextmanager
def held(path: Path, *, fresh: bool = False) -> Iterator[StateDir]:
    """Hold `path`, made where it is not there; `fresh` removes what was kept in it.

    Raises LocalStackError where another stack runs on it, or what it holds can't be used.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / _RUNNING).open("a+") as file:
        _lock(file, path)
        state = StateDir(path, file)
        state.announce()
        if fresh:
            for name in _KEPT:
                _remove(path / name)
        if (path / _EMULATOR).exists():
            _check_format(path)
        state.remember(state.port)
        (path / ".gitignore").write_text("*\n")  # it holds a key
        yield state
        file.truncate(0)


def environment_of_running(path: Path) -> Mapping[str, str]:
    """The environment that points at the stack which runs on `path`.

    Raises LocalStackError where none does.
    """
    try:
        with (path / _RUNNING).open() as file:
            is_held = not _try_lock(file, fcntl.LOCK_SH)
            running = _parsed(file.read())
    except FileNotFoundError:
        is_held, running = False, {}
    if not (is_held and _lives(running.get("pid"))):
        raise LocalStackError(f"no local stack runs on {path}; start one: image-service dev")
    environment = running.get("environment")
    if not environment:
        raise LocalStackError(f"the local stack on {path} is still starting; try again")
    return {str(name): str(value) for name, value in environment.items()}


def _lock(file: TextIO, path: Path) -> None:
    deadline = time.monotonic() + _LEAVING_SECONDS
    while not _try_lock(file, fcntl.LOCK_EX):
        file.seek(0)
        pid = _parsed(file.read()).get("pid")
        if _lives(pid) or time.monotonic() > deadline:
            raise LocalStackError(
                f"a local stack (process {pid}) runs on {path}; "
                "stop it, or give this one another --state-dir"
            )
        time.sleep(0.1)


def _try_lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_format(path: Path) -> None:
    found = _read(path / _STACK).get("format")
    if found != _FORMAT:
        raise damaged(path, f"its format is {found}, not {_FORMAT}")


def damaged(path: Path, reason: str) -> LocalStackError:
    return LocalStackError(
        f"the state in {path} can't be read ({reason}); "
        "start from empty with --fresh, or give another --state-dir"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text())
    except (FileNotFoundError, UnicodeDecodeError):
        return {}


def _parsed(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(content) + "\n")
    draft.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
