"""The HTTP connection: uvicorn's, with bounds on all that is not a body.

uvicorn bounds neither the time a request line and its headers take nor their size, nor how
many requests are sent ahead of their responses, nor how long a client leaves a response unread.
It takes trailers for headers, responds to what is not HTTP in plain text, and lets an `Upgrade`
header hide the body from the parser. Bodies are the application's to bound.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from image_service.api.middleware.exchange import EXCHANGE, Exchange, request_id_of, withdraw
from image_service.domain.errors import ImageServiceError, MalformedBody, Overloaded, UploadTimeout
from image_service.domain.time_limits import HEAD_SECONDS, LINGER_SECONDS, UNREAD_SECONDS
from image_service.server.refusals import Refusal, refusal_of
from image_service.server.room import Room
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
        self._bounds = RequestBounds()
        self._stage: Literal["between", "head", "body"] = "between"  # of the request that comes
        self._deaf = False  # nothing more is parsed
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
            self._bounds.end_piece(len(data))
        except (httptools.HttpParserError, MalformedBody) as error:
            self._refuse(refusal_of(error))

    # The parser's calls

    def on_message_begin(self) -> None:
        if self._unanswered > _MAX_AHEAD:
            # Never sent: after the close clients send it again.
            raise Overloaded("Too many requests were sent ahead of their responses.")
        super().on_message_begin()
        self._bounds.begin()
        self._stage = "head"
        self._began = time.perf_counter()
        if not self._unanswered:
            self._start_clock(self.header_seconds, self._too_slow)

    def on_url(self, url: bytes) -> None:
        self._bounds.add_url(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage == "head":  # or else a trailer: they may be dropped (RFC 9110, 6.5.1)
            self._bounds.add_field(name, value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unset_keepalive_if_required()
        version = self.parser.get_http_version()
        self._bounds.end_head(version)
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
        self._bounds.add_body(len(body))
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

    # The room's questions

    @property
    def is_waiting(self) -> bool:
        return not self._unanswered

    @property
    def has_responded(self) -> bool:
        exchange = _exchange_of(self.cycle)
        return exchange is not None and exchange.is_draining

    @property
    def is_unread(self) -> bool:
        return self._unread_clock is not None

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
        withdrawn = self._withdraw() if self._stage == "body" else None
        if self._unanswered or self.transport.is_closing():
            return
        if withdrawn is None:
            refusal = Refusal(error)
            refusal.log(time.perf_counter() - self._began)
            if self._telemetry is not None:
                self._telemetry.connections_refused(error.code).inc()
            self.transport.write(refusal.to_bytes(self.server_state.default_headers))
        elif not withdrawn.response_started:
            scope: Any = withdrawn.scope  # uvicorn has a type of its own for it
            withdraw(scope, error)  # the application is about to log its request
            refusal = Refusal(error, request_id_of(scope))
            self.transport.write(refusal.to_bytes(self.server_state.default_headers))
        self._linger()

    def _withdraw(self) -> RequestResponseCycle:
        """Take back from the application the request that turned out to be malformed."""
        self._stage = "between"
        if not self.cycle.response_complete:
            self._unanswered -= 1
            if self.pipeline:
                self.pipeline.popleft()
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        return self.cycle


def _exchange_of(cycle: RequestResponseCycle | None) -> Exchange | None:
    """None where the application has not begun with it yet."""
    return cycle.scope["state"].get(EXCHANGE) if cycle else None


class RequestBounds:
    """The bounds of a request beside its body: its head, and the frames of its chunks.

    Counts what is added to it. Raises MalformedBody where it is too much or ambiguous.
    """

    def __init__(self) -> None:
        self._accounted = 0  # of what is being parsed: heads, bodies, their frames
        self.begin()

    def begin(self) -> None:
        self._head_bytes = _LINE_BYTES  # about: some more than it took as clients write it
        self._other_bytes = 0  # received of this request, neither its head nor its body
        self._fields = 0
        self._once: dict[bytes, bytes] = {}

    def add_url(self, part: bytes) -> None:
        self._count(len(part))

    def add_field(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _FIELD_BYTES)
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise MalformedBody(
                f"The request has more than {_MAX_FIELDS} header fields, the limit; send fewer."
            )
        name = name.lower()
        if name in self._once:
            raise MalformedBody(f"There are two {_title(name)} headers; send one.")
        if name in _ONCE:
            self._once[name] = value.lower()

    def end_head(self, version: str) -> None:
        """To be called once the head is complete; `version` as in "1.1"."""
        if version not in _VERSIONS:
            raise MalformedBody("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if version == "1.1" and b"host" not in self._once:
            raise MalformedBody("The request has no Host header; HTTP/1.1 requires one.")
        encoding = self._once.get(b"transfer-encoding")
        if encoding is not None and (encoding != b"chunked" or version == "1.0"):
            raise MalformedBody(
                "The only Transfer-Encoding known here is 'chunked', and that of HTTP/1.1; "
                "send it so, or with a Content-Length."
            )
        self._accounted += self._head_bytes

    def add_body(self, count: int) -> None:
        self._accounted += count + min(count, _CHUNK_FRAME_BYTES)

    def end_piece(self, count: int) -> None:
        """To be called once `count` bytes that came together have been parsed."""
        self._other_bytes = max(0, self._other_bytes + count - self._accounted)
        self._accounted = 0
        if self._other_bytes > _MAX_BYTES:
            raise _too_much()

    def _count(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _MAX_BYTES:
            raise _too_much()


def _too_much() -> MalformedBody:
    return MalformedBody(
        f"The request has more than {_MAX_BYTES:,} bytes besides its body, the limit; "
        "send fewer or shorter headers, or a chunked body in larger chunks."
    )


def _title(name: bytes) -> str:
    return name.decode("ascii").title()
