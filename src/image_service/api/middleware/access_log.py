"""The access log: one line, and one sample of the metrics, for each request."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from starlette.routing import BaseRoute
from starlette.types import Message, Scope

from image_service.domain.images import is_image_id
from image_service.telemetry import audit_log
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger("image_service.access")

CLIENT_GONE: Final = 499  # the client went away before an answer, as nginx has it
_CREATED: Final = 201
_FAULT: Final = 500
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


@dataclass(slots=True)
class Exchange:
    """A request and its answer, as far as they have come; times by `perf_counter`."""

    scope: Scope
    started: float = field(default_factory=time.perf_counter)
    ended: float = 0.0
    status: int = CLIENT_GONE
    bytes_in: int = 0
    bytes_out: int = 0
    replayed: bool = False
    reading_since: float = 0.0

    def receives(self) -> None:
        self.reading_since = self.reading_since or time.perf_counter()

    def sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.replayed = self.status == _CREATED and any(
                name == b"idempotency-replayed" for name, _ in message["headers"]
            )
        else:
            self.bytes_out += len(message.get("body", b""))
            self.ended = time.perf_counter()  # what may follow is the draining of the request

    def broken_off(self) -> None:
        """A fault of ours, whatever the client has seen of the answer."""
        self.status = _FAULT

    @property
    def seconds(self) -> float:
        return (self.ended or time.perf_counter()) - self.started


class Recorder:
    """Writes down what became of each request."""

    def __init__(self, routes: Sequence[BaseRoute], telemetry: Telemetry) -> None:
        self._routes = routes
        self._telemetry = telemetry

    def began(self, scope: Scope) -> Exchange:
        self._telemetry.requests_in_progress.inc()
        return Exchange(scope)

    def received(self, exchange: Exchange, message: Message) -> None:
        exchange.bytes_in += len(message.get("body", b""))
        if message["type"] == "http.request" and not message.get("more_body", False):
            # What is parsed is parsed as it comes.
            self._telemetry.step("parse", time.perf_counter() - exchange.reading_since)

    def ended(self, exchange: Exchange) -> None:
        scope, state = exchange.scope, exchange.scope["state"]
        found = self._route(scope)
        method, route = scope["method"], getattr(found, "path", None)
        code = state.get("error_code")
        caller = state.get("caller")
        user_id = caller.user_id if caller else None
        reason = state.get("error_reason") or code
        more = {} if reason == code else {"reason": reason}
        self._telemetry.request_ended(
            method=method,
            route=route or _NO_ROUTE,
            status=exchange.status,
            seconds=exchange.seconds,
            reason=reason,
            upload=_upload_outcome(exchange, code) if (method, route) == _UPLOAD else None,
        )
        log.info(
            "request",
            method=method,
            route=route,
            status=exchange.status,
            code=code,
            duration_ms=round(exchange.seconds * 1000, 1),
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            user_id=user_id,
            **more,
        )
        action = _ACTIONS.get((method, route))
        if exchange.status in _REFUSED and action:
            image_id = _image_id(found, scope["path"])
            audit_log.refused(action, user_id=user_id, image_id=image_id, code=code)

    def _route(self, scope: Scope) -> Any:
        """Returns the route, whose template is logged; never the path, which a caller chooses.

        What is answered before it gets to a route is counted for the one it was meant for.
        """
        found: Any = scope.get("route")
        if found is None:
            found = next((r for r in self._routes if _match(r, scope["path"])), None)
        return found


def _match(route: Any, path: str) -> re.Match[str] | None:
    matched: re.Match[str] | None = route.path_regex.match(path)
    return matched


def _image_id(route: Any, path: str) -> str | None:
    """What the path names, if it can be an image at all: else it is any text."""
    match = _match(route, path)
    given = match.groupdict().get("id", "") if match else ""
    return given if is_image_id(given) else None


def _upload_outcome(exchange: Exchange, code: str | None) -> str:
    if exchange.status == _CREATED:
        return "replayed" if exchange.replayed else "stored"
    return "client_gone" if exchange.status == CLIENT_GONE else code or "unknown"
