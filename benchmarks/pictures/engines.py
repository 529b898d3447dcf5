"""The engines, each in a process of its own, and asking them in turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.pictures import thumbor
from benchmarks.pictures.outputs import Outputs, outputs

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_RIVAL = _ROOT / ".cache" / "bench" / "sharp"

SERVICE, TWO_FILES, PILLOW, THUMBOR = "service", "service, two files", "pillow", "thumbor"
# Two ways of sharp's documentation to make several sizes, each at its default effort and at that
# which the service makes the same file with.
CLONES, PIPELINES = "sharp, clones", "sharp, pipelines"
EQUAL_CLONES, EQUAL_PIPELINES = f"{CLONES}, equal effort", f"{PIPELINES}, equal effort"
DEFAULT, EQUAL = (CLONES, PIPELINES), (EQUAL_CLONES, EQUAL_PIPELINES)
_DEFAULT_EFFORT = 4


class Engine:
    """A worker process that answers lines of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, task: str, **options: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"task": task, **options}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"an engine ended: {self._process.args!r}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running(command: list[str], directory: Path) -> Iterator[Engine]:
    with subprocess.Popen(
        command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Engine(process)
        # At the end of its input a worker ends, and with it what it started.


@contextmanager
def all_engines(concurrency: int = 1) -> Iterator[dict[str, Engine]]:
    """By name; sharp's `concurrency` 0 leaves its default."""
    install_rival()
    thumbor.install()
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(command, directory))
            for name, (command, directory) in _commands(concurrency).items()
        }


def asked(name: str, file: Path) -> Outputs:
    """The files that the engine of that name is to make of `file`."""
    return outputs(file, None if name in EQUAL else _DEFAULT_EFFORT)


def codecs() -> AbstractContextManager[Engine]:
    """For the codec bound: a process of its own, so that its memory is not the service's."""
    return running(*_python(SERVICE))


def _python(name: str) -> tuple[list[str], Path]:
    return [sys.executable, "-m", "benchmarks.pictures.worker", name], _ROOT


def _commands(concurrency: int) -> dict[str, tuple[list[str], Path]]:
    def sharp(way: str) -> tuple[list[str], Path]:
        return ["node", "worker.mjs", way, str(concurrency)], _RIVAL

    return {
        SERVICE: _python(SERVICE),
        TWO_FILES: _python(TWO_FILES),
        CLONES: sharp("clones"),
        PIPELINES: sharp("pipelines"),
        EQUAL_CLONES: sharp("clones"),
        EQUAL_PIPELINES: sharp("pipelines"),
        PILLOW: _python(PILLOW),
        THUMBOR: _python(THUMBOR),
    }


def install_rival() -> None:
    """sharp from npm, as package.json pins it, into .cache/."""
    _RIVAL.mkdir(parents=True, exist_ok=True)
    shutil.copy(_HERE / "worker.mjs", _RIVAL)
    wanted = (_HERE / "package.json").read_bytes()
    installed = _RIVAL / "package.json"
    if (_RIVAL / "node_modules").exists() and installed.read_bytes() == wanted:
        return
    installed.write_bytes(wanted)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(command, cwd=_RIVAL, check=True, env={**os.environ, "NODE_ENV": "production"})
