"""uvicorn, set up for production: one process, one event loop, behind a load balancer."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from image_service.api.dependencies import state_of
from image_service.app import create_app
from image_service.bootstrap import require_memory
from image_service.domain.time_limits import IDLE_SECONDS, TimeLimits
from image_service.pictures.confinement import hide_from_children
from image_service.server import operations_port as operations
from image_service.server.connection import Connection
from image_service.server.room import Room
from image_service.settings import Settings, SettingsError, ignored_settings
from image_service.telemetry.logging import log_what_python_prints

App = Callable[[Any, Any, Any], Awaitable[None]]  # of ASGI

log = structlog.stdlib.get_logger(__name__)

_CANNOT_START: Final = 3
# 50 connections each to S3, DynamoDB, CloudFront and Redis, the children's pipes, the extra
# connections that are let in to see what they want, and what Python itself has open.
_OWN_DESCRIPTORS: Final = 300
_FEWEST_CONNECTIONS: Final = 16
_TICKS_BETWEEN_LOOKS: Final = 20  # at the open files; uvicorn ticks ten times per second
# For those who must then come again: longer than an `Exchange` drains.
_LAST_RESPONSES_SECONDS: Final = 3


class _Server(uvicorn.Server):
    """Reports when it listens, and where; and stops in steps, so that no request is lost.

    At the first SIGTERM or SIGINT it is no longer ready, but serves on until the load
    balancer has noticed; then it takes no more requests and finishes those it has. What it
    can't finish in `shutdown_seconds` is cancelled, and the application responds so. A second
    signal cuts the serving short, a further SIGINT the finishing. Metrics are served from
    before the start to the end.
    """

    def __init__(  # noqa: PLR0913 - what a server is made of
        self,
        config: uvicorn.Config,
        app: FastAPI,
        *,
        room: Room,
        settings: Settings,
        shutdown_seconds: float,
        on_listening: Callable[[str], None],
        operations_listener: socket.socket | None = None,
    ) -> None:
        super().__init__(config)
        self._application = app
        self._room = room
        self._drain_seconds = settings.drain_seconds
        self._shutdown_seconds = shutdown_seconds
        self._drained_at: float | None = None
        self._on_listening = on_listening
        self._operations_listener = operations_listener

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        if self._operations_listener is None:
            await super().serve(sockets)
            return
        telemetry = state_of(self._application).telemetry
        async with operations.serving(telemetry, self._operations_listener):
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What there is now stays: with it left out, a full collection no longer holds every
        # request up for a tenth of a second.
        gc.collect()
        gc.freeze()
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_listening(f"http://{_bracketed(host)}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Runs between any two instructions of the event loop: it only leaves a note.
        if self._drained_at is None and self.started and self._drain_seconds:
            self._drained_at = time.monotonic() + self._drain_seconds
            state_of(self._application).ready = False
            self._captured_signals.append(sig)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            self._room.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state_of(self._application).ready = False
        loop = asyncio.get_running_loop()
        cutting_short = loop.call_later(self._shutdown_seconds, self._cut_short)
        try:
            await super().shutdown(sockets)
        finally:
            cutting_short.cancel()

    def _cut_short(self) -> None:
        running = list(self.server_state.tasks)
        if running:
            log.warning("requests_cut_short", number=len(running))
        for task in running:
            task.cancel()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> socket.socket:
    """A socket for `serve`. Raises OSError where somebody else listens there, or nobody can."""
    return operations.listen(host, port)


def serve(
    settings: Settings,
    on_listening: Callable[[str], None] = lambda _url: None,
    *,
    listener: socket.socket | None = None,
    around: Callable[[App], App] = lambda app: app,
) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 3 where it can't start.

    Listens at the settings' host and port, unless it is given a `listener`; `around` may
    respond before the application does. Logging is expected to be configured.
    """
    times = TimeLimits()
    log_what_python_prints()
    for line in ignored_settings():
        log.warning("setting_ignored", reason=line)
    hide_from_children()
    operations_listener = _operations_listener(settings)
    descriptors, connections = _make_room_for(settings.max_connections)
    settings = settings.model_copy(update={"max_connections": connections})
    try:
        require_memory()
        app = create_app(settings, times)
    except SettingsError as error:
        log.error("cannot_start", faults=error.errors)  # noqa: TRY400 - they say it all
        sys.exit(_CANNOT_START)
    room = Room(connections, descriptors=descriptors, telemetry=state_of(app).telemetry)
    config = uvicorn.Config(
        around(app),
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=partial(  # type: ignore[arg-type]  # it is only called
            Connection,
            room=room,
            telemetry=state_of(app).telemetry,
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=times.shutdown_seconds + _LAST_RESPONSES_SECONDS,
    )
    server = _Server(
        config,
        app,
        room=room,
        settings=settings,
        shutdown_seconds=times.shutdown_seconds,
        on_listening=on_listening,
        operations_listener=operations_listener,
    )
    # uvicorn shuts down cleanly, then raises the signal again for whoever was there before.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    try:
        server.run(sockets=[listener] if listener else None)
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(_CANNOT_START)


def _make_room_for(connections: int) -> tuple[int, int]:
    """Raise the limit of open files to what is needed, as far as the system lets us.

    Returns that limit, and the connections for which it is enough: a server that can open
    nothing any more closes new ones unheard, and reaches neither S3 nor DynamoDB.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OWN_DESCRIPTORS
    limit = soft
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    limit = needed if limit == resource.RLIM_INFINITY else limit
    fit = max(_FEWEST_CONNECTIONS, min(connections, limit - _OWN_DESCRIPTORS))
    if fit < connections:
        log.warning("connections_limited", asked_for=connections, limit=fit, descriptors=limit)
    return limit, fit


def _operations_listener(settings: Settings) -> socket.socket | None:
    """None where none is wanted, or where nobody asked for the port and it is taken."""
    host, port = settings.ops_host, settings.ops_port
    if port == 0:
        return None
    try:
        if port == settings.port:
            raise OSError(errno.EADDRINUSE, "the service itself listens there")
        listener = operations.listen(host, port)
    except OSError as error:
        asked_for = "ops_port" in settings.model_fields_set
        tell = log.error if asked_for else log.warning
        tell("no_operations_port", host=host, port=port, reason=error.strerror)
        if asked_for:
            sys.exit(_CANNOT_START)
        return None
    log.info("operations_port", url=f"http://{_bracketed(host)}:{port}/metrics")
    return listener


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
