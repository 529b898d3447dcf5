"""The outermost middleware: begins and ends the exchange, in pure ASGI. Nothing buffers a body.

From the outside in: `Requests`, CORS, gzip, `Boundary`, `Gate`, the routes. Headers and log
line are on every response, preflights and errors too; the boundary is inside of CORS and gzip,
which errors pass like any response.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.api.middleware.exchange import (
    CLIENT_DISCONNECTED,
    Exchange,
    Limits,
    request_id_of,
)
from image_service.domain.access import Kind
from image_service.domain.images import is_image_id
from image_service.telemetry import audit_log
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger("image_service.access")

_CREATED: Final = 201
_REFUSED: Final = frozenset({401, 403})
_NO_ROUTE: Final = "unmatched"
_UPLOAD: Final = ("POST", "/images")
_ACTIONS: Final[Mapping[tuple[str, str | None], str]] = {
    _UPLOAD: "upload",
    ("GET", "/images"): "list",
    ("GET", "/images/{id}"): "read",
    ("PATCH", "/images/{id}"): "update",
    ("DELETE", "/images/{id}"): "delete",
    ("GET", "/usage"): "usage",
}


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
        self._routes = routes
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
        self._telemetry.requests_in_progress.inc()
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
                self._record(exchange)
                structlog.contextvars.reset_contextvars(**bound)

    def _record(self, exchange: Exchange) -> None:
        """Write the line of the access log, and count it."""
        if exchange.read_until:  # what is parsed is parsed as it comes
            ago = time.perf_counter() - exchange.read_until
            self._telemetry.step("parse", exchange.read_until - exchange.read_from, ago)
        scope, code, reason = exchange.scope, exchange.code, exchange.reason
        # The route, whose template is logged; never the path, which a caller chooses. A
        # response given before the route is reached is counted for the route that was meant.
        found: Any = scope.get("route")
        if found is None:
            found = next((r for r in self._routes if _match(r, scope["path"])), None)
        method, route = scope["method"], getattr(found, "path", None)
        seconds = (exchange.ended or time.perf_counter()) - exchange.started
        caller = exchange.caller
        user_id = caller.acting_as if caller else None
        self._telemetry.request_ended(
            method=method,
            route=route or _NO_ROUTE,
            status=exchange.status,
            seconds=seconds,
            reason=reason or code,
            upload=_upload_outcome(exchange) if (method, route) == _UPLOAD else None,
        )
        log.info(
            "request",
            method=method,
            route=route,
            status=exchange.status,
            code=code,
            duration_ms=round(seconds * 1000, 1),
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            user_id=user_id,
            **({"reason": reason} if reason else {}),
            **(audit_log.named(caller) if caller and caller.kind is not Kind.USER else {}),
        )
        action = _ACTIONS.get((method, route))
        if exchange.status in _REFUSED and action:
            image_id = _image_id(found, scope["path"])
            audit_log.refused(action, caller, image_id=image_id, code=code)


def _match(route: Any, path: str) -> re.Match[str] | None:
    matched: re.Match[str] | None = route.path_regex.match(path)
    return matched


def _image_id(route: Any, path: str) -> str | None:
    """Returns what the path names, if it can be an image at all: else it is any text."""
    match = _match(route, path)
    given = match.groupdict().get("id", "") if match else ""
    return given if is_image_id(given) else None


def _upload_outcome(exchange: Exchange) -> str:
    if exchange.status == _CREATED:
        return "replayed" if exchange.replayed else "stored"
    if exchange.status == CLIENT_DISCONNECTED:
        return "client_gone"
    return exchange.code or "unknown"
