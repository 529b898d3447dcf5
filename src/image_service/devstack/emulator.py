"""MiniStack: S3, DynamoDB and CloudFront on loopback, in a process of their own.

A process rather than a thread, so that its work does not slow the service's event loop,
and nothing of it can leak into the service. It leaves with its parent, however that ends:
it watches a pipe that only the parent holds open.

With a folder to keep its state in, files are written as they come, and items when it leaves,
and while it runs within seconds of a change: so a killed parent loses nothing, and a killed
emulator the last change it took.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from image_service.devstack.state import LocalStackError, StateDir, damaged

_STARTUP_SECONDS: Final = 60
_SHUTDOWN_SECONDS: Final = 30  # to save what is kept
_SAVING_SHARE: Final = 0.05  # of its time, since it serves nothing meanwhile
# Nothing but what the service uses, nothing said but errors.
_SETTINGS: Final = {
    "SERVICES": "s3,dynamodb,cloudfront",
    "PERSIST_STATE": "0",
    "S3_PERSIST": "0",
    "LOG_LEVEL": "ERROR",
}
_KEPT: Final = ("dynamodb", "s3")
_READS: Final = (b"Get", b"Query", b"Scan", b"Describe", b"List", b"BatchGet", b"TransactGet")


class Emulator:
    """An emulator that has been started."""

    def __init__(self, process: subprocess.Popen[str], state: StateDir | None) -> None:
        self._process = process
        self._state = state

    def endpoint(self) -> str:
        """Its URL, once it responds. Raises LocalStackError where it does not start."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        timer = threading.Timer(_STARTUP_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline().strip()
            late = timer.finished.is_set()
        finally:
            timer.cancel()
        if self._state and line and not line.startswith("http"):
            raise damaged(self._state.path, line)
        if late:
            raise LocalStackError(f"the AWS emulator did not start within {_STARTUP_SECONDS} s")
        if not line:
            raise LocalStackError("the AWS emulator did not start; is its port in use?")
        return line


@contextmanager
def running_emulator(port: int = 0) -> Iterator[str]:
    """Run an emulator that keeps nothing, and yield its endpoint URL; 0 takes a free port.

    Raises LocalStackError where it does not start.
    """
    with started_emulator(port) as emulator:
        yield emulator.endpoint()


@contextmanager
def started_emulator(port: int = 0, *, state: StateDir | None = None) -> Iterator[Emulator]:
    """Start an emulator, which takes seconds; with a `state`, what it stores is kept there."""
    keeping = ["--state", str(state.emulator)] if state else []
    process = subprocess.Popen(  # noqa: S603 # this very module, no user input
        [sys.executable, "-m", __name__, "--port", str(port), "--attached", *keeping],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the terminal's Ctrl-C is for the parent only
        pass_fds=(state.lock,) if state else (),  # until all is saved, nobody else may begin
    )
    try:
        yield Emulator(process, state)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


App = Callable[[Any, Any, Any], Awaitable[None]]


class _Keeper:
    """Saves items soon after they changed, seldom enough to stay out of the way."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._changed = False
        self._due = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
        for name, value in scope.get("headers", ()):
            if name == b"x-amz-target":
                self._changed |= not value.partition(b".")[2].startswith(_READS)

    def save(self) -> None:
        started = time.monotonic()
        if not self._changed or started < self._due:
            return
        self._changed = False
        dynamodb = importlib.import_module("ministack.services.dynamodb")
        persistence = importlib.import_module("ministack.core.persistence")
        try:
            persistence.save_state("dynamodb", dynamodb.get_state())
        except RuntimeError:  # an item expired while it was copied
            self._changed = True
        ended = time.monotonic()
        self._due = ended + (ended - started) / _SAVING_SHARE


def serve(host: str, port: int, state: Path | None, *, attached: bool) -> None:
    """Print the endpoint URL once it responds, then serve until the process ends."""
    listener = socket.create_server((host, port))
    port = listener.getsockname()[1]
    os.environ.update(_SETTINGS, GATEWAY_PORT=str(port))
    if state is not None:
        os.environ.update(
            PERSIST_STATE="1",
            STATE_DIR=str(state / "items"),
            S3_PERSIST="1",
            S3_DATA_DIR=str(state / "files"),
        )
        unusable = _restore(state / "items")
        if unusable:
            print(unusable, flush=True)  # noqa: T201 # the parent waits for it
            sys.exit(1)
    # Not before: it reads its environment on import, and is no part of the parent.
    keeper = _Keeper(importlib.import_module("ministack.app").app)

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(f"http://{host}:{port}", flush=True)  # noqa: T201 # the parent waits for it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # and reads no more

        async def on_tick(self, counter: int) -> bool:
            if state is not None:
                keeper.save()
            return await super().on_tick(counter)

    config = uvicorn.Config(
        keeper,
        log_level="error",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = AnnouncingServer(config)
    if attached:
        threading.Thread(target=_leave_with_parent, args=(server, state), daemon=True).start()
    server.run(sockets=[listener])


def _restore(items: Path) -> str:
    """Load what was kept; why it can't be used, where it can't.

    By itself MiniStack would begin empty, and save that over what there was.
    """
    logging.disable()
    try:
        for service in _KEPT:
            persistence = importlib.import_module("ministack.core.persistence")
            file = items / f"{service}.json"
            if file.exists():
                kept = persistence.load_state(service)
                # MiniStack passes over what is no mapping, and would save without it.
                if not isinstance(kept, dict) or not all(map(_is_mapping, kept.values())):
                    return f"{file.name} is damaged, or of a newer emulator"
                importlib.import_module(f"ministack.services.{service}").restore_state(kept)
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over
        return f"{file.name}: {type(error).__name__}"
    finally:
        logging.disable(logging.NOTSET)
    return ""


def _is_mapping(value: Any) -> bool:
    return hasattr(value, "keys")


def _leave_with_parent(server: uvicorn.Server, state: Path | None) -> None:
    sys.stdin.buffer.read()  # returns when the parent has ended
    if state is not None:
        server.should_exit = True  # which saves what is kept
        time.sleep(_SHUTDOWN_SECONDS)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m image_service.devstack.emulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, help="keep what is stored, in this folder")
    parser.add_argument("--attached", action="store_true", help="exit at the end of stdin")
    arguments = parser.parse_args()
    serve(arguments.host, arguments.port, arguments.state, attached=arguments.attached)


if __name__ == "__main__":
    main()
