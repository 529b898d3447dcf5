"""The trace of each request, and its id in every line of the log."""

from __future__ import annotations

from collections.abc import Collection

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.telemetry.observers import Tracing


class Traces:
    """Around `RequestContext`, whose observers fill the trace. Never of the paths in `but`."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing, but: Collection[str]) -> None:
        self._app = app
        self._tracing = tracing
        self._but = frozenset(but)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._but:
            await self._app(scope, receive, send)
            return
        with (
            self._tracing.request(scope["headers"]) as ids,
            structlog.contextvars.bound_contextvars(**ids),
        ):
            await self._app(scope, receive, send)
