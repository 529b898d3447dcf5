"""CORS: the web pages that may read the responses."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def origin_pattern(origins: Sequence[str]) -> str | None:
    """A pattern for the whole Origin header; `*.` stands for one or more labels."""
    if not origins:
        return None
    return "|".join(re.escape(origin).replace(r"\*\.", _SUBDOMAINS) for origin in origins)


class Cors(CORSMiddleware):
    """Starlette's, with a refused preflight in the error envelope."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origin_regex=origin_pattern(origins),
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
            max_age=86400,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:  # noqa: PLR2004 - Starlette says 200 or 400
            return response
        refused = bytes(response.body).decode().removeprefix("Disallowed CORS ")
        refusal = error_response(
            ValidationFailed([("Origin", f"this cross-origin request is not allowed: {refused}")]),
            structlog.contextvars.get_contextvars().get("request_id"),
        )
        refusal.headers["Vary"] = response.headers["Vary"]
        return refusal
