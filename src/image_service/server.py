"""uvicorn, set up for production: one process, one event loop, behind a load balancer."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from image_service.app import create_app
from image_service.connections import Connection
from image_service.settings import Settings

# Longer than the load balancer's 60 s, so that it is never the one to find a dead connection.
_KEEP_ALIVE_SECONDS: Final = 75


class _Server(uvicorn.Server):
    """Tells when it listens, and where; and goes in steps, so that no request is lost.

    At the first SIGTERM or SIGINT it is no longer ready, but serves on until the load
    balancer has noticed; then it takes no more requests and finishes those it has. A second
    signal cuts the serving short, a further SIGINT the finishing.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        *,
        drain_seconds: float,
        on_listening: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._application = app
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(f"http://{_bracketed(host)}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Runs between any two instructions of the event loop: it only leaves a note.
        if self._drained_at is None and self.started and self._drain_seconds:
            self._drained_at = time.monotonic() + self._drain_seconds
            self._application.state.ready = False
            self._captured_signals.append(sig)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.state.ready = False
        await super().shutdown(sockets)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def serve(settings: Settings, on_listening: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 3 where the application can't start.

    Logging is expected to be configured.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = _Server(config, app, drain_seconds=settings.drain_seconds, on_listening=on_listening)
    # uvicorn shuts down cleanly, then raises the signal again for whoever was there before.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(3)


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
