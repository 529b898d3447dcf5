"""The HTTP connection: uvicorn's, with bounds on all that is not a body.

uvicorn bounds neither the time a request line and its headers take nor their size, nor how
many requests are sent ahead of their answers, and answers what is not HTTP in plain text.
Bodies are the application's to bound.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from image_service.api.errors import error_response
from image_service.api.middleware import decorate
from image_service.domain.errors import ImageServiceError, MalformedBody, UploadTimeout

# Load balancers allow 64 KB of headers. Of a chunked body as much again as its contents
# may be chunk sizes and the like.
_MAX_OVERHEAD_BYTES: Final = 64 * 1024
_MAX_AHEAD: Final = 8
_LINGER_SECONDS: Final = 2.0


class TooManyAhead(Exception):
    """The client sends requests without waiting for answers."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    header_seconds: float = 20.0
    _timer: asyncio.TimerHandle | None = None
    _in_headers = False
    _refused = False
    _overhead_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._overhead_bytes += len(data)
        super().data_received(data)
        if self._overhead_bytes > _MAX_OVERHEAD_BYTES and not self._refused:
            self._refuse(
                MalformedBody(
                    f"The request has more than {_MAX_OVERHEAD_BYTES:,} bytes of headers, "
                    "the limit; send fewer or shorter ones."
                )
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._overhead_bytes = 0
        self._in_headers = True
        self._start_timer(self.header_seconds)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_timer()
        if len(self.pipeline) >= _MAX_AHEAD:
            raise TooManyAhead
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes -= 2 * len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self._in_headers:
            self._expect_request()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedBody(f"{msg} Send a well-formed HTTP/1.1 request."))

    def _expect_request(self) -> None:
        self._start_timer(self.timeout_keep_alive)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        if self._in_headers and not self._refused:
            self._refuse(UploadTimeout("The request's headers came too slowly; send it again."))
        else:
            self.transport.close()

    def _refuse(self, error: ImageServiceError) -> None:
        """Answer, and close a little later: a reset would overtake what was answered."""
        self._refused = True
        self._write(error)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_reading()
        self._start_timer(_LINGER_SECONDS)

    def _write(self, error: ImageServiceError) -> None:
        request_id = str(uuid.uuid4())
        response = error_response(error, request_id)
        decorate(response.headers, request_id)
        response.headers["Connection"] = "close"
        headers = [*self.server_state.default_headers, *response.raw_headers]
        self.transport.write(
            STATUS_LINE[response.status_code]
            + b"".join(b"%s: %s\r\n" % header for header in headers)
            + b"\r\n"
            + bytes(response.body)
        )
        self.transport.write_eof()
