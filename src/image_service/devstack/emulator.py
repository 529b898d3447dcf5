"""MiniStack: S3, DynamoDB and CloudFront on loopback, in a process of their own.

A process rather than a thread, so that its work does not slow the service's event loop,
and nothing of it can leak into the service. It leaves with its parent, however that ends:
it watches a pipe that only the parent holds open.
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

_STARTUP_SECONDS: Final = 30
_SHUTDOWN_SECONDS: Final = 5
# Nothing but what the service uses, nothing kept on disk, nothing said but errors.
_SETTINGS: Final = {
    "SERVICES": "s3,dynamodb,cloudfront",
    "PERSIST_STATE": "0",
    "S3_PERSIST": "0",
    "LOG_LEVEL": "ERROR",
}


@contextmanager
def running_emulator(port: int = 0, *, host: str = "127.0.0.1") -> Iterator[str]:
    """Start the emulator and yield its endpoint URL once it answers; 0 takes a free port.

    Raises RuntimeError where it does not start. All it stored is gone at the end.
    """
    process = subprocess.Popen(  # noqa: S603 # this very module, no user input
        [sys.executable, "-m", __name__, "--host", host, "--port", str(port), "--attached"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the terminal's Ctrl-C is for the parent only
    )
    try:
        yield _endpoint(process)
    finally:
        _stop(process)


def _endpoint(process: subprocess.Popen[str]) -> str:
    """The line the emulator prints once its socket is listening."""
    if process.stdout is None:
        raise RuntimeError("the emulator has no output to read")
    timer = threading.Timer(_STARTUP_SECONDS, process.kill)
    timer.start()
    try:
        endpoint = process.stdout.readline().strip()
    finally:
        timer.cancel()
    if not endpoint:
        raise RuntimeError("the AWS emulator did not start; is its port in use?")
    return endpoint


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


def serve(host: str, port: int) -> None:
    """Print the endpoint URL once it answers, then serve until the process ends."""
    listener = socket.create_server((host, port))
    port = listener.getsockname()[1]
    endpoint = f"http://{host}:{port}"
    os.environ.update(_SETTINGS, GATEWAY_PORT=str(port))
    # Not before: it reads its environment on import, and is no part of the parent.
    app = importlib.import_module("ministack.app").app

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(endpoint, flush=True)  # noqa: T201 # the parent waits for it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # and reads no more

    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=75)
    AnnouncingServer(config).run(sockets=[listener])


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when the parent has gone
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m image_service.devstack.emulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--attached", action="store_true", help="exit at the end of stdin")
    arguments = parser.parse_args()
    if arguments.attached:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    serve(arguments.host, arguments.port)


if __name__ == "__main__":
    main()
