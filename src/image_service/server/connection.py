"""The HTTP connection: uvicorn's, with bounds on all that is not a body.

uvicorn bounds neither the time a request line and its headers take nor their size, nor how
many requests are sent ahead of their answers, nor how long a client leaves an answer unread.
It takes trailers for headers, answers what is not HTTP in plain text, and lets an `Upgrade`
header hide the body from the parser. Bodies are the application's to bound.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from image_service.api.errors import error_response
from image_service.api.middleware.request import DRAINING, decorate
from image_service.api.routes.health import PROBES
from image_service.domain.errors import ImageServiceError, MalformedBody, Overloaded, UploadTimeout
from image_service.server.request_head import MAX_HEAD_BYTES, RequestHead, too_much, unreadable
from image_service.telemetry.metrics import Telemetry

log = structlog.stdlib.get_logger(__name__)
access = structlog.stdlib.get_logger("image_service.access")

_MAX_CONNECTIONS: Final = 1_000
_FEW_DESCRIPTORS: Final = 16
_SCARCITY_LOGGED_EVERY: Final = 60.0  # seconds
# Clients don't send ahead any more, but the next request may overtake an answer's last step.
_MAX_AHEAD: Final = 1
_PROBES: Final = frozenset(path.encode() for path in PROBES)
_CHUNK_FRAME_BYTES: Final = 32  # a chunk's size and two line ends, generously


class _Stop(Exception):
    """Ends the parser's work."""


class Connection(HttpToolsProtocol):
    """One client's connection. At most `config.limit_concurrency` of them are served at once.

    Health checks are, however many there are; a few more may be open that have not yet said
    what they want. `max_descriptors` is the process' limit of open files.
    """

    scarcity_logged_at = -_SCARCITY_LOGGED_EVERY  # by the loop's clock, over all connections

    header_seconds: float = 20.0
    unread_seconds: float = 20.0
    linger_seconds: float = 2.0
    # Open beyond the limit, to see whether it is the load balancer that asks.
    extra_connections: int = 32

    def __init__(
        self,
        *args: Any,
        telemetry: Telemetry | None = None,
        max_descriptors: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._telemetry = telemetry
        self._max_descriptors = max_descriptors
        self._max_connections = self.limit_concurrency or _MAX_CONNECTIONS
        self.limit_concurrency = None  # uvicorn would refuse requests, and in plain text
        self._head = RequestHead()
        self._in_head = False
        self._in_body = False
        self._deaf = False  # nothing more is parsed
        self.unanswered = 0  # requests that the application has, or is to have
        self._overhead_bytes = 0  # received of this request, neither its head nor its body
        self._accounted_bytes = 0  # of what was just received: heads, bodies, their frames
        self.waiting_since = 0.0
        self._began = 0.0
        self._clock: asyncio.TimerHandle | None = None
        self._unread_clock: asyncio.TimerHandle | None = None

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that pause_writing is called for any unread byte
        self._began = time.perf_counter()
        self._expect_request()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self.resume_writing()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Stay open for a client that has said all, and waits for its answer."""
        if self._in_body or not self.unanswered:
            return False
        self._deaf = True
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_clock = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_clock is not None:
            self._unread_clock.cancel()
            self._unread_clock = None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._accounted_bytes = 0
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse(unreadable(error))
            return
        unaccounted = len(data) - self._accounted_bytes
        self._overhead_bytes = max(0, self._overhead_bytes + unaccounted)
        if self._overhead_bytes > MAX_HEAD_BYTES:
            self._refuse(too_much())

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # An offer may be ignored (RFC 9110, 7.8), but llhttp takes what follows for the
            # other protocol, the body too: so the request goes in again without the offer.
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self._parse(head + data[offer.args[0] :])

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"".join([line, *fields, b"\r\n"])

    # The parser's calls

    def on_message_begin(self) -> None:
        if self.unanswered > _MAX_AHEAD:
            self._deaf = True  # closed once those are answered; clients know to ask again then
            raise _Stop
        super().on_message_begin()
        self._head = RequestHead()
        self._in_head = True
        self._overhead_bytes = 0
        self._began = time.perf_counter()
        if not self.unanswered:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._checked(self._head.add_url, url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # or else it is a trailer: they may be dropped (RFC 9110, 6.5.1)
            self._checked(self._head.add_field, name, value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_clock()
        self._checked(self._head.check, self.parser.get_http_version())
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._checked(_refuse_tunnel)
            return  # and once more, from `_parse`
        self._accounted_bytes += self._head.size
        self._checked(self._check_room)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # it knows no interim response (RFC 9110, 10.1.1)
        super().on_headers_complete()
        self._in_body = True
        self.unanswered += 1

    def on_body(self, body: bytes) -> None:
        self._accounted_bytes += len(body) + min(len(body), _CHUNK_FRAME_BYTES)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._in_body:
            self._in_body = False
            super().on_message_complete()

    def _checked(self, check: Callable[..., None], *arguments: Any) -> None:
        try:
            check(*arguments)
        except ImageServiceError as error:
            self._refuse(error)
            raise _Stop from error

    # The application's call, through uvicorn

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the clock it would start beside ours."""
        self.server_state.total_requests += 1
        self.unanswered -= 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deaf:
            self._linger()
        elif self._in_head:
            self._expect_head()
        else:
            self._expect_request()

    # Clocks: one for the client that is to send, one for the client that is to read

    def _expect_request(self) -> None:
        self.waiting_since = self.loop.time()
        self._start_clock(self.timeout_keep_alive, self._hang_up)

    def _expect_head(self) -> None:
        self._start_clock(self.header_seconds, self._too_slow)

    def _linger(self) -> None:
        """Close a little later: a reset would overtake what was answered."""
        self.flow.resume_reading()
        self.transport.write_eof()
        self._start_clock(self.linger_seconds, self._hang_up)

    def _start_clock(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(seconds, then)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _hang_up(self) -> None:
        self.transport.close()

    def _too_slow(self) -> None:
        self._refuse(UploadTimeout("The request's headers came too slowly; send it again."))

    # Refusals

    def _check_room(self) -> None:
        """Raises Overloaded where as many are served as may be, and this is no health check."""
        if len(self.connections) <= self._max_connections:
            return
        served = sum(1 for c in self._others() if c.unanswered and not c.is_answered)
        if served >= self._max_connections and self.url.partition(b"?")[0] not in _PROBES:
            raise Overloaded(
                f"{served} connections are being served, the limit; try again shortly."
            )

    def _make_room(self) -> None:
        """Close those that can best be spared, or else refuse this one."""
        self._handle_scarcity()
        while len(self.connections) > self._max_connections + self.extra_connections:
            if not self._close_one():
                self._refuse(Overloaded("Too many connections are open; try again shortly."))
                return

    def _close_one(self) -> bool:
        """Of those that wait for a request the longest; else one whose answer has been sent.

        And else one that leaves its answer unread, as far as it has come.
        """
        others = self._others()
        spared = (
            [c for c in others if not c.unanswered],
            [c for c in others if c.is_answered],
            [c for c in others if c.is_unread],
        )
        for some in spared:
            if some:
                longest = min(some, key=lambda c: c.waiting_since)
                self.connections.discard(longest)
                longest.transport.abort()
                return True
        return False

    def _others(self) -> list[Connection]:
        return [c for c in self.connections if isinstance(c, Connection) and c is not self]

    @property
    def is_answered(self) -> bool:
        """Whether it has its whole answer, and is only kept so that this arrives."""
        return bool(self.cycle and self.cycle.scope["state"].get(DRAINING))

    @property
    def is_unread(self) -> bool:
        return self._unread_clock is not None

    def _handle_scarcity(self) -> None:
        """Where descriptors run out, have a log line and make do with fewer connections.

        The kernel gives out the lowest free number, so that of a new connection shows it.
        """
        used = self.transport.get_extra_info("socket").fileno()
        if self._max_descriptors is None or used < self._max_descriptors - _FEW_DESCRIPTORS:
            return
        self._close_one()
        if self.loop.time() >= Connection.scarcity_logged_at + _SCARCITY_LOGGED_EVERY:
            Connection.scarcity_logged_at = self.loop.time()
            log.error(
                "descriptors_scarce",
                used=used,
                limit=self._max_descriptors,
                connections=len(self.connections),
            )

    def _refuse(self, error: ImageServiceError) -> None:
        """Read no more; say why, where that can't be taken for another request's answer."""
        self._deaf = True
        self._stop_clock()
        withdrawn = self._withdraw() if self._in_body else None
        if self.unanswered or self.transport.is_closing():
            return
        if withdrawn is None or not withdrawn.response_started:
            self._write(error, withdrawn)
        self._linger()

    def _withdraw(self) -> RequestResponseCycle:
        """Take back from the application the request that turned out to be malformed."""
        self._in_body = False
        cycle = self.cycle
        if not cycle.response_complete:
            self.unanswered -= 1
            if self.pipeline:
                self.pipeline.popleft()
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
        return cycle

    def _write(self, error: ImageServiceError, withdrawn: RequestResponseCycle | None) -> None:
        state = withdrawn.scope["state"] if withdrawn else {}
        request_id = state.get("request_id") or str(uuid.uuid4())
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
        if withdrawn:
            state["error_code"] = error.code  # the application is about to log its request
            return
        if self._telemetry is not None:
            self._telemetry.connections_refused(error.code).inc()
        access.info(
            "request",
            request_id=request_id,
            method=None,
            route=None,
            status=response.status_code,
            code=error.code,
            duration_ms=round((time.perf_counter() - self._began) * 1000, 1),
            bytes_in=0,
            bytes_out=len(response.body),
            user_id=None,
        )


def _refuse_tunnel() -> None:
    raise MalformedBody("This is no proxy; send GET, POST, PATCH or DELETE.")
