"""Refusals of what never becomes a request, in the error envelope like all others."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from image_service.api.errors import error_response
from image_service.api.middleware.exchange import common_headers
from image_service.domain.errors import ImageServiceError, MalformedBody

access = structlog.stdlib.get_logger("image_service.access")

_BLANK_IN_URL: Final = "Expected HTTP/"  # what follows a blank there is taken for the version


def refusal_of(error: BaseException) -> ImageServiceError:
    """Returns what stopped the parser: an error of ours, or its own in words for the client."""
    if isinstance(error, httptools.HttpParserCallbackError) and error.__context__:
        error = error.__context__
    if isinstance(error, ImageServiceError):
        return error
    cause = str(error)
    if isinstance(error, httptools.HttpParserInvalidURLError) or cause.startswith(_BLANK_IN_URL):
        return MalformedBody(
            "The URL has a character that must be percent-encoded: é as %C3%A9, a blank as %20."
        )
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        cause = "it begins with no known method"
    return MalformedBody(
        f"The request is no well-formed HTTP/1.1: {cause}; see that nothing alters it on its way."
    )


class Refusal:
    """An error as it is sent on a connection that is then closed; see `refused_request`."""

    def __init__(self, error: ImageServiceError, request_id: str | None = None) -> None:
        self._code = error.code
        self._request_id = request_id or str(uuid.uuid4())
        self._response = error_response(error, self._request_id)

    def to_bytes(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        headers = [
            *default_headers,
            *self._response.raw_headers,
            *common_headers(self._request_id),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"%s%s\r\n%s" % (STATUS_LINE[self._response.status_code], lines, self._response.body)

    def log(self, seconds: float) -> None:
        """Write the line that a request has: the application never heard of this one."""
        access.info(
            "request",
            request_id=self._request_id,
            method=None,
            route=None,
            status=self._response.status_code,
            code=self._code,
            duration_ms=round(seconds * 1000, 1),
            bytes_in=0,
            bytes_out=len(self._response.body),
            user_id=None,
        )
