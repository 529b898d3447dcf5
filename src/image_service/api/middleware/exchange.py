"""A request and its response on their way: what is known of them, and the bounds of the body.

A body has a pace, below which its sender holds a place for too long. From its last byte on the
service has its own time to respond. A response that comes before the body has been read must
reach a client that is still sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from image_service.api.error_table import row_for
from image_service.domain.access import Caller, RateLimit
from image_service.domain.errors import DependencyUnavailable, ImageServiceError, UploadTimeout
from image_service.domain.time_limits import (
    JSON_SECONDS,
    JSON_STALL,
    LINGER_SECONDS,
    TimeLimits,
)

EXCHANGE: Final = "exchange"  # in the state of a request, as the next two
_REQUEST_ID: Final = "request_id"
_WITHDRAWN: Final = "withdrawn"
_SANE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
CLIENT_DISCONNECTED: Final = 499  # the client went away before a response, as nginx has it
_CREATED: Final = 201
_FAILED: Final = 500
_REPLAYED: Final = b"idempotency-replayed"
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The slowest a body may come: seconds, and bytes per second.

    It may pause for `stall`, has to have come at `least_rate` on the whole, `stall` apart,
    and be complete after `total`.
    """

    stall: float = TimeLimits.upload_stall_timeout
    least_rate: float = TimeLimits.upload_min_rate
    total: float = TimeLimits.upload_timeout


JSON_PACE: Final = Pace(stall=JSON_STALL, total=JSON_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The pace of an upload's body, and seconds from the last byte of a request to its response.

    Of a body that nobody reads, what comes is dropped for `drain_seconds` and `drain_bytes` at
    most. Past that nothing more is read, but the connection stays for those seconds.
    """

    upload_path: str = "/images"
    pace: Pace = Pace()
    upload: float = TimeLimits.upload_deadline
    delete: float = TimeLimits.delete_deadline
    other: float = TimeLimits.request_deadline
    drain_seconds: float = LINGER_SECONDS
    drain_bytes: int = 16 << 20


class Exchange:
    """One request, and its response as far as it has come; times by `perf_counter`.

    `receive` and `send` take the place of those it is given. A body that comes too slowly, and a
    response that takes too long, cancel what runs in `within_time`.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, limits: Limits
    ) -> None:
        scope.setdefault("state", {})[EXCHANGE] = self
        self.scope = scope
        self.request_id = request_id
        self.caller: Caller | None = None
        self.rate_limit: RateLimit | None = None
        # The code of its error; never that itself, whose traceback holds what was uploaded, and
        # the connection keeps this until the next request.
        self.code: str | None
        self.status: int
        self.status, self.code = scope["state"].get(_WITHDRAWN, (CLIENT_DISCONNECTED, None))
        self.reason = ""
        self.started = time.perf_counter()
        self.ended = 0.0
        self.read_from = self.read_until = 0.0
        self.replayed = False
        self.has_response = False
        # It has its whole response, and only its connection waits for the rest of the body.
        self.is_draining = False
        self.bytes_in = self.bytes_out = 0
        upload = scope["method"] == "POST" and scope["path"] == limits.upload_path
        self._limits = limits
        self._pace = limits.pace if upload else JSON_PACE
        self._seconds = limits.upload if upload else limits.other
        if scope["method"] == "DELETE":
            self._seconds = limits.delete
        self._receive = receive
        self._send = send
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._complete = not has_body
        self._receiving = False
        self._closing = False
        self._clock: asyncio.Timeout | None = None

    async def within_time(self, handling: Awaitable[None]) -> None:
        """Raises UploadTimeout, DependencyUnavailable.

        The services are written for it: what may not stop half-way goes on without the request.
        How slowly the response may be read is the connection's to say.
        """
        try:
            async with asyncio.timeout(self._seconds) as clock:
                self._clock = clock
                await handling
        except TimeoutError:
            if not clock.expired():
                raise
            if self._receiving:
                raise UploadTimeout(self._too_slow()) from None
            cause = TimeoutError(f"no response within {self._seconds:g} s")
            raise DependencyUnavailable from cause
        finally:
            self._clock = None

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        self.read_from = self.read_from or time.perf_counter()
        self._receiving = True
        self._due_in(self._patience())
        message = await self._receive()
        self._receiving = False
        self.bytes_in += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._complete:
            self.read_until = time.perf_counter()
        self._due_in(self._seconds)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin_response(message)
        else:
            self.bytes_out += len(message.get("body", b""))
            self.ended = time.perf_counter()  # what may follow is the draining of the request
            if self._closing and not message.get("more_body", False):
                # uvicorn stops handing out the body once the response is complete.
                await self._send({**message, "more_body": True})
                self.is_draining = True
                await self._drain()
                message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def fail(self, error: ImageServiceError) -> None:
        """Note why it has no better response."""
        if not self._is_withdrawn:
            self.code, self.reason = error.code, error.reason

    def break_off(self) -> None:
        """Count it as failed, whatever the client has seen of the response."""
        self.status = _FAILED

    @property
    def _is_withdrawn(self) -> bool:
        """The client has had its error from the connection, and nothing else any more."""
        return _WITHDRAWN in self.scope["state"]

    def _begin_response(self, message: Message) -> None:
        self.has_response = True
        if not self._is_withdrawn:
            self.status = message["status"]
        headers = [*message["headers"], *common_headers(self.request_id)]
        if rate := self.rate_limit:
            headers += [
                (b"x-ratelimit-limit", b"%d" % rate.limit),
                (b"x-ratelimit-remaining", b"%d" % rate.remaining),
                (b"x-ratelimit-reset", b"%d" % rate.reset_at),
            ]
        self.replayed = self.status == _CREATED and any(name == _REPLAYED for name, _ in headers)
        # Closing a connection on which data still arrives makes the kernel reset it: a proxy
        # then turns the response into a 502, and a browser loses it.
        self._closing = not self._complete
        if self._closing:
            headers.append((b"connection", b"close"))
        message["headers"] = headers
        self._due_in(None)

    async def _drain(self) -> None:
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_seconds):
                while not self._complete and dropped < self._limits.drain_bytes:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self._complete = not message.get("more_body", False)
                if not self._complete:
                    await asyncio.sleep(self._limits.drain_seconds)

    def _due_in(self, seconds: float | None) -> None:
        if self._clock is not None and not self._clock.expired():
            now = asyncio.get_running_loop().time()
            self._clock.reschedule(None if seconds is None else now + seconds)

    def _patience(self) -> float:
        """Seconds in which the next piece of the body has to come."""
        passed = time.perf_counter() - self.read_from
        in_all = min(self._pace.total, self._pace.stall + self.bytes_in / self._pace.least_rate)
        return min(self._pace.stall, in_all - passed)

    def _too_slow(self) -> str:
        pace = self._pace
        return (
            f"The body came too slowly: {self.bytes_in:,} bytes in "
            f"{time.perf_counter() - self.read_from:.0f} s. It may pause for {pace.stall:g} s, "
            f"needs {pace.least_rate:,.0f} bytes per second, and must be complete within "
            f"{pace.total:g} s; send it again, on a better connection."
        )


def common_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    """Returns what every response carries."""
    return [(b"x-request-id", request_id.encode()), *_SECURITY_HEADERS]


def request_id_of(scope: Scope) -> str:
    """Returns the one that came, if it is sane, or else one of ours; each time the same."""
    state = scope.setdefault("state", {})
    if _REQUEST_ID not in state:
        given = Headers(scope=scope).get("x-request-id", "")
        state[_REQUEST_ID] = given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    request_id: str = state[_REQUEST_ID]
    return request_id


def withdraw(scope: Scope, error: ImageServiceError) -> None:
    """Note for the log how the connection responded to a request that it took back.

    That may be before `Requests` has begun with it.
    """
    seen = scope["state"][_WITHDRAWN] = (row_for(type(error)).status, error.code)
    exchange: Exchange | None = scope["state"].get(EXCHANGE)
    if exchange is not None:
        exchange.status, exchange.code = seen


def exchange_of(scope: Scope) -> Exchange:
    """To be called inside of `Requests`, which began it."""
    exchange: Exchange = scope["state"][EXCHANGE]
    return exchange
