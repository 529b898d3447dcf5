"""The HTTP connection: uvicorn's, with bounds on all that is not a body.

uvicorn bounds neither the time a request line and its headers take nor their size, nor how
many requests are sent ahead of their responses, nor how long a client leaves a response unread.
It takes trailers for headers, responds to what is not HTTP in plain text, and lets an `Upgrade`
header hide the body from the parser. Bodies are the application's to bound.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from image_service.api.middleware.exchange import EXCHANGE, request_id_of, withdraw
from image_service.domain.errors import ImageServiceError, MalformedBody, Overloaded, UploadTimeout
from image_service.domain.time_limits import HEAD_SECONDS, LINGER_SECONDS, UNREAD_SECONDS
from image_service.server.refusals import Refusal, refusal_of
from image_service.server.room import Room, Standing
from image_service.telemetry.telemetry import Telemetry

# Clients don't send ahead any more, but the next request may overtake a response's last step.
_MAX_AHEAD: Final = 1
_MAX_BYTES: Final = 32 * 1024  # nginx takes as many; clients send less than a tenth of it
_MAX_FIELDS: Final = 100
_LINE_BYTES: Final = 64  # of the first line, without its URL, and the blank one
_FIELD_BYTES: Final = 4  # a colon, a space and a line end
_CHUNK_FRAME_BYTES: Final = 32  # a chunk's size and two line ends, generously
# Two of these can be read in two ways: by us in one, by a proxy in the other.
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding"}
)
_VERSIONS: Final = ("1.0", "1.1")


class Connection(HttpToolsProtocol):
    """One client's connection, which has or asks for a place in `room`.

    uvicorn's clock of idle connections is the one for the client that must send: it runs from
    the start, and for heads and lingering, too. The other is for the client that must read.
    """

    header_seconds: float = HEAD_SECONDS
    unread_seconds: float = UNREAD_SECONDS
    linger_seconds: float = LINGER_SECONDS

    def __init__(
        self, *args: Any, room: Room, telemetry: Telemetry | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._room = room
        self._telemetry = telemetry
        self._stage: Literal["between", "head", "body"] = "between"  # of the request that comes
        self._deaf = False  # nothing more is parsed
        self._other_bytes = 0  # received of this request, neither its head nor its body
        self._accounted = 0  # of what is being parsed: heads, bodies, their frames
        self._unanswered = 0  # requests that the application has, or will have
        self._began = 0.0
        self._unread_clock: asyncio.TimerHandle | None = None
        self.waiting_since = 0.0

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that pause_writing is called for any unread byte
        self._began = time.perf_counter()
        self.waiting_since = self.loop.time()
        self._start_clock(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        try:
            self._room.enter(self)
        except Overloaded as error:
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        self._unset_keepalive_if_required()
        if self._unread_clock is not None:
            self.resume_writing()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Stay open for a client that has said all, and waits for its response."""
        if self._stage == "body" or not self._unanswered:
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
        try:
            self.parser.feed_data(data)
            self._other_bytes = max(0, self._other_bytes + len(data) - self._accounted)
            self._accounted = 0
            if self._other_bytes > _MAX_BYTES:
                raise _too_much()
        except (httptools.HttpParserError, MalformedBody) as error:
            self._refuse(refusal_of(error))

    # The parser's calls

    def on_message_begin(self) -> None:
        if self._unanswered > _MAX_AHEAD:
            # Never sent: after the close clients send it again.
            raise Overloaded("Too many requests were sent ahead of their responses.")
        super().on_message_begin()
        self._stage = "head"
        self._other_bytes = 0
        self._began = time.perf_counter()
        if not self._unanswered:
            self._start_clock(self.header_seconds, self._too_slow)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage != "head":  # a trailer: they may be dropped (RFC 9110, 6.5.1)
            return
        if len(self.headers) == _MAX_FIELDS:
            raise MalformedBody(
                f"The request has more than {_MAX_FIELDS} header fields, the limit; send fewer."
            )
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unset_keepalive_if_required()
        version = self.parser.get_http_version()
        self._accounted += check_head(version, self.url, self.headers)
        if self.parser.should_upgrade():
            # The parser would end the request here, and take its body for the next one.
            raise MalformedBody(
                "No protocol but HTTP/1.1 is spoken here, and this is no proxy; send the request "
                "without 'Connection: Upgrade', with curl by --http1.1."
            )
        self._room.check(self, self.url.partition(b"?")[0].decode("latin-1"))
        if version == "1.0":
            self.expect_100_continue = False  # it knows no interim response (RFC 9110, 10.1.1)
        super().on_headers_complete()
        self._stage = "body"
        self._unanswered += 1

    def on_body(self, body: bytes) -> None:
        self._accounted += len(body) + min(len(body), _CHUNK_FRAME_BYTES)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage = "between"
        super().on_message_complete()

    # The application's call, through uvicorn

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        self.waiting_since = self.loop.time()
        super().on_response_complete()  # starts on the next request, or the clock of idle ones
        if self._unanswered or self.transport.is_closing():
            return
        if self._deaf:
            self._linger()
        elif self._stage == "head":
            self._start_clock(self.header_seconds, self._too_slow)

    # The room's question

    @property
    def standing(self) -> Standing:
        if not self._unanswered:
            return "waiting"
        exchange = self.cycle.scope["state"].get(EXCHANGE)
        if exchange is not None and exchange.is_draining:
            return "responded"
        return "served" if self._unread_clock is None else "unread"

    # Clock and refusals

    def _start_clock(self, seconds: float, then: Callable[[], None]) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, then)

    def _too_slow(self) -> None:
        self._refuse(UploadTimeout("The request's headers came too slowly; send it again."))

    def _linger(self) -> None:
        """Close a little later: a reset would overtake the response."""
        self.flow.resume_reading()
        self.transport.write_eof()
        self._start_clock(self.linger_seconds, self.timeout_keep_alive_handler)

    def _refuse(self, error: ImageServiceError) -> None:
        """Read no more; say why, where that can't be taken for another request's response."""
        self._deaf = True
        self._unset_keepalive_if_required()
        in_body, self._stage = self._stage == "body", "between"
        if in_body and not self.cycle.response_complete:
            self._withdraw()
        if self._unanswered or self.transport.is_closing():
            return
        refusal = None
        if not in_body:
            refusal = Refusal(error)
            refusal.log(time.perf_counter() - self._began)
            if self._telemetry is not None:
                self._telemetry.connections_refused(error.code).inc()
        elif not self.cycle.response_started:
            scope: Any = self.cycle.scope  # uvicorn has a type of its own for it
            withdraw(scope, error)  # the application is about to log its request
            refusal = Refusal(error, request_id_of(scope))
        if refusal is not None:
            self.transport.write(refusal.to_bytes(self.server_state.default_headers))
        self._linger()

    def _withdraw(self) -> None:
        """Take back from the application the request that turned out to be malformed."""
        self._unanswered -= 1
        if self.pipeline:
            self.pipeline.popleft()
        self.cycle.disconnected = True
        self.cycle.waiting_for_100_continue = False
        self.cycle.message_event.set()


def check_head(version: str, url: bytes, fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Returns about how many bytes it has; names are in lower case, `version` as in "1.1".

    Raises MalformedBody where that is too much, or where it is ambiguous.
    """
    size = _LINE_BYTES + len(url)
    once: dict[bytes, bytes] = {}
    for name, value in fields:
        size += len(name) + len(value) + _FIELD_BYTES
        if name in once:
            raise MalformedBody(f"There are two {name.decode('ascii').title()} headers; send one.")
        if name in _ONCE:
            once[name] = value.lower()
    if size > _MAX_BYTES:
        raise _too_much()
    if version not in _VERSIONS:
        raise MalformedBody("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if version == "1.1" and b"host" not in once:
        raise MalformedBody("The request has no Host header; HTTP/1.1 requires one.")
    encoding = once.get(b"transfer-encoding")
    if encoding is not None and (encoding != b"chunked" or version == "1.0"):
        raise MalformedBody(
            "The only Transfer-Encoding known here is 'chunked', and that of HTTP/1.1; "
            "send it so, or with a Content-Length."
        )
    return size


def _too_much() -> MalformedBody:
    return MalformedBody(
        f"The request has more than {_MAX_BYTES:,} bytes besides its body, the limit; "
        "send fewer or shorter headers, or a chunked body in larger chunks."
    )
