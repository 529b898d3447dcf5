"""S3, DynamoDB and CloudFront on loopback, in a process of their own.

A process rather than a thread, so that its work does not slow the service's event loop,
and nothing of it can leak into the service. It leaves with its parent, however that ends:
it watches a pipe that only the parent holds open.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_STARTUP_SECONDS: Final = 30
_SHUTDOWN_SECONDS: Final = 5


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


class _OneAtATime:
    """The emulator's stores are not thread-safe: transactions would lose updates."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        with self._lock:
            return self._app(environ, start_response)


def serve(host: str, port: int) -> None:
    """Print the endpoint URL, then serve until the process ends."""
    # Imported here: it takes a second, and the parent process has no use for it.
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class QuietHandler(WSGIRequestHandler):
        def log_request(self, *_: object) -> None:
            """One line a request would drown the service's own."""

    app = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server(host, port, app, threaded=True, request_handler=QuietHandler)
    print(f"http://{server.host}:{server.port}", flush=True)  # noqa: T201 # read by the parent
    server.serve_forever()


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
