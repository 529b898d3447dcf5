"""uvicorn, set up for production: one process, one event loop, behind a load balancer."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from image_service.app import create_app
from image_service.settings import Settings

# Longer than the load balancer's 60 s, so that it is never the one to find a dead connection.
_KEEP_ALIVE_SECONDS: Final = 75
_GRACEFUL_SECONDS: Final = 30


class _Server(uvicorn.Server):
    """Tells when it listens, and where."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(f"http://{_bracketed(host)}:{port}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def serve(settings: Settings, on_listening: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 3 where the application can't start.

    Logging is expected to be configured.
    """
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    server = _Server(config, on_listening)
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
