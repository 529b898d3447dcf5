"""The operations port: `/metrics`, for a scraper, away from what the load balancer reaches."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from uvicorn.server import ServerState

from image_service.api.routes.operations import operations_app
from image_service.server.connection import Connection
from image_service.server.room import Room
from image_service.telemetry.telemetry import Telemetry

_KEEP_ALIVE_SECONDS: Final = 75  # scrapers come again after 15 to 60


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError where somebody else listens there, or nobody can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if not error.errno or error.errno < 0:  # of the resolver
            raise
        # The reason alone: `create_server` adds the address, which callers name themselves.
        raise OSError(error.errno, os.strerror(error.errno)) from error


@asynccontextmanager
async def serving(telemetry: Telemetry, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on `listener` until left; then it is closed.

    uvicorn's protocol without its server: that one takes the process' signals, and has a
    way of its own to end.
    """
    config = uvicorn.Config(
        operations_app(telemetry),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    state, room = ServerState(), Room()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(config=config, server_state=state, app_state={}, room=room),
        sock=listener,
    )
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
