"""The outermost middleware: begins and ends the exchange, in pure ASGI. Nothing buffers a body.

From the outside in: `Requests`, CORS, gzip, `Boundary`, the routes. Headers and log line are on
every response, preflights and errors too; the boundary is inside of CORS and gzip,
which errors pass like any response.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.api.middleware.access_log import Recorder
from image_service.api.middleware.exchange import Exchange, Limits, request_id_of
from image_service.telemetry.telemetry import Telemetry


class Requests:
    """Names the request, adds the headers that every response carries, records how it went.

    HEAD works wherever GET does; the server itself leaves the body out.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        routes: Sequence[BaseRoute],
        telemetry: Telemetry,
        untraced: Collection[str],
    ) -> None:
        self._app = app
        self._limits = limits
        self._recorder = Recorder(routes, telemetry)
        self._telemetry = telemetry
        self._untraced = frozenset(untraced)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSocket route exists, and none may appear unseen
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server looks at its own
        request_id = request_id_of(scope)
        exchange = Exchange(scope, receive, send, request_id, self._limits)
        self._recorder.began()
        traced = scope["path"] not in self._untraced
        with self._telemetry.request(scope["headers"], traced=traced) as ids:
            # `bound_contextvars` would take three times as long.
            bound = structlog.contextvars.bind_contextvars(request_id=request_id, **ids)
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except Exception:
                exchange.break_off()
                raise
            finally:
                self._recorder.ended(exchange)
                structlog.contextvars.reset_contextvars(**bound)
