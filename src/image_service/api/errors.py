"""The one table from error to status, and the one envelope every error is sent in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from image_service.domain import errors


class RouteNotFound(errors.ImageServiceError):
    code = "ROUTE_NOT_FOUND"
    default_message = "There is no such route; see /docs for those there are."


class MethodNotAllowed(errors.ImageServiceError):
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"The route does not take this method; it takes {self.allowed}.")


class Answer(NamedTuple):
    """How a class of errors is sent: the HTTP status, and the envelope's `error`."""

    status: int
    error: str


# The first class an error is an instance of counts, so subclasses stand before their base.
TABLE: Mapping[type[errors.ImageServiceError], Answer] = {
    errors.InvalidRequest: Answer(400, "ValidationError"),
    errors.Unauthenticated: Answer(401, "Unauthorized"),
    errors.NotAuthorized: Answer(403, "Forbidden"),
    errors.ImageNotFound: Answer(404, "NotFound"),
    RouteNotFound: Answer(404, "NotFound"),
    MethodNotAllowed: Answer(405, "MethodNotAllowed"),
    errors.UploadTimeout: Answer(408, "RequestTimeout"),
    errors.IdempotencyInProgress: Answer(409, "ConflictError"),
    errors.PreconditionMismatch: Answer(412, "PreconditionFailed"),
    errors.VersionMismatch: Answer(409, "ConflictError"),
    errors.FileTooLarge: Answer(413, "PayloadTooLarge"),
    errors.UnsupportedMediaType: Answer(415, "UnsupportedMediaType"),
    errors.IdempotencyKeyReused: Answer(422, "IdempotencyError"),
    errors.VersionRequired: Answer(428, "PreconditionRequired"),
    errors.RateLimitExceeded: Answer(429, "TooManyRequests"),
    errors.ProcessingFailed: Answer(500, "ProcessingError"),
    errors.Unavailable: Answer(503, "ServiceUnavailable"),
    errors.ImageServiceError: Answer(500, "InternalError"),
}


def answer_for(kind: type[errors.ImageServiceError]) -> Answer:
    return next(answer for base, answer in TABLE.items() if issubclass(kind, base))


def envelope(error: errors.ImageServiceError, request_id: str | None) -> dict[str, Any]:
    """The body of every error answer."""
    body: dict[str, Any] = {
        "error": answer_for(type(error)).error,
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


def error_response(error: errors.ImageServiceError, request_id: str | None) -> JSONResponse:
    return JSONResponse(
        envelope(error, request_id),
        status_code=answer_for(type(error)).status,
        headers={"Cache-Control": "no-store", **_headers(error)},
    )


def _headers(error: errors.ImageServiceError) -> dict[str, str]:
    match error:
        case errors.TokenMissing():
            return {"WWW-Authenticate": "Bearer"}
        case errors.Unauthenticated():
            return {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        case errors.RateLimitExceeded() | errors.IdempotencyInProgress() | errors.Unavailable():
            return {"Retry-After": str(error.retry_after)}
        case MethodNotAllowed():
            return {"Allow": error.allowed}
    return {}


def from_request_validation(error: RequestValidationError) -> errors.ValidationFailed:
    """FastAPI's findings on the parameters, without the offending input."""
    return errors.ValidationFailed(
        [
            (str(fault["loc"][-1]), str(fault["msg"]).removeprefix("Value error, "))
            for fault in error.errors()
        ]
    )


def from_http_exception(error: HTTPException, allowed: Iterable[str]) -> errors.ImageServiceError:
    """What the router raises: no such route, or no such method on it."""
    if error.status_code == 404:  # noqa: PLR2004 - the status is the name here
        return RouteNotFound()
    if error.status_code == 405:  # noqa: PLR2004
        return MethodNotAllowed(allowed)
    return errors.ImageServiceError()
