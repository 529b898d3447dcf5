"""Errors as they are sent: one envelope and the headers that belong to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from image_service.api.error_table import MethodNotAllowed, RouteNotFound, row_for
from image_service.domain import errors


def envelope(error: errors.ImageServiceError, request_id: str | None) -> dict[str, Any]:
    """The body of every error response."""
    body: dict[str, Any] = {
        "error": row_for(type(error)).error,
        "message": error.message,
        "code": error.code,
        "details": error.details,
        "requestId": request_id,
    }
    if isinstance(error, errors.VersionMismatch):
        body["currentVersion"] = error.current_version
    if isinstance(error, errors.RateLimitExceeded):
        body["retryAfter"] = error.retry_after
    return body


def headers_of(error: errors.ImageServiceError) -> dict[str, str]:
    """Those beside the ones of every response."""
    if isinstance(error, errors.Unauthenticated):
        missing = isinstance(error, errors.TokenMissing)
        return {"WWW-Authenticate": "Bearer" if missing else 'Bearer error="invalid_token"'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}


def error_response(error: errors.ImageServiceError, request_id: str | None) -> JSONResponse:
    return JSONResponse(
        envelope(error, request_id),
        status_code=row_for(type(error)).status,
        headers={"Cache-Control": "no-store", **headers_of(error)},
    )


def from_request_validation(error: RequestValidationError) -> errors.ValidationFailed:
    """FastAPI's findings on the parameters, without the offending input."""
    return errors.ValidationFailed(
        [
            (str(found["loc"][-1]), str(found["msg"]).removeprefix("Value error, "))
            for found in error.errors()
        ]
    )


def from_http_exception(error: HTTPException, allowed: Iterable[str]) -> errors.ImageServiceError:
    """The router's findings: no such route, or no such method on it."""
    if error.status_code == 404:  # noqa: PLR2004 - the status is the name here
        return RouteNotFound()
    if error.status_code == 405:  # noqa: PLR2004
        return MethodNotAllowed(allowed)
    return errors.ImageServiceError()
