"""CORS: the web pages that may read the responses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from image_service.api.errors import error_response
from image_service.domain.errors import ValidationFailed

_METHODS: Final = ("GET", "POST", "PATCH", "DELETE", "OPTIONS")
_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-ID",
    "X-Requested-With",
    # What tracing in browsers (OpenTelemetry, Sentry, Datadog) adds to every request of a page
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampled",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
)
_EXPOSED_HEADERS: Final = (
    "ETag",
    "Location",
    "X-Request-ID",
    "Idempotency-Replayed",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
)
_SUBDOMAINS: Final = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+"
_ANY_PORT: Final = r"(?::[0-9]{1,5})?"
_SHOWN_CHARS: Final = 100
_SERVE_IT: Final = "open the page from a server, not from a file or in a sandboxed frame"


def origin_pattern(origins: Sequence[str]) -> str | None:
    """A pattern for the whole Origin header.

    `*.` stands for one or more labels, `:*` for any port or none.
    """
    if not origins:
        return None
    escaped = "|".join(map(re.escape, origins))
    return escaped.replace(r"\*\.", _SUBDOMAINS).replace(r":\*", _ANY_PORT)


class Cors(CORSMiddleware):
    """Starlette's, with a refused preflight in the error envelope.

    `headers` are allowed in requests besides those that the service and tracing need.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], headers: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origin_regex=origin_pattern(origins),
            allow_methods=_METHODS,
            allow_headers=(*_REQUEST_HEADERS, *headers),
            expose_headers=_EXPOSED_HEADERS,
            max_age=86400,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:  # noqa: PLR2004 - Starlette says 200 or 400
            return response
        refusal = error_response(
            ValidationFailed(list(self._errors(request_headers))),
            structlog.contextvars.get_contextvars().get("request_id"),
        )
        refusal.headers["Vary"] = response.headers["Vary"]
        return refusal

    def _errors(self, request_headers: Headers) -> Iterator[tuple[str, str]]:
        """Returns what of the preflight is not allowed; browsers show it to developers."""
        origin = request_headers["origin"]
        if not self.is_allowed_origin(origin):
            remedy = _SERVE_IT if origin == "null" else "list it in IMAGE_SERVICE_CORS_ORIGINS"
            yield "Origin", f"{origin[:_SHOWN_CHARS]} is not allowed; {remedy}"
        method = request_headers["access-control-request-method"]
        if method not in self.allow_methods:
            remedy = f"send one of {', '.join(_METHODS)}"
            yield "Access-Control-Request-Method", f"{method[:20]} is not allowed; {remedy}"
        asked = request_headers.get("access-control-request-headers", "accept").lower().split(",")
        refused = [name for name in map(str.strip, asked) if name not in self.allow_headers]
        if refused:
            names = ", ".join(refused)[:_SHOWN_CHARS]
            remedy = "list it in IMAGE_SERVICE_CORS_HEADERS"
            yield "Access-Control-Request-Headers", f"{names} is not allowed; {remedy}"
        if "access-control-request-private-network" in request_headers:
            yield "Access-Control-Request-Private-Network", "is not allowed; use a public address"
