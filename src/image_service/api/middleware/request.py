"""Middleware around every request, in pure ASGI: nothing here buffers a body.

From the outside in: `HeadAsGet`, `EarlyAnswer`, `api.tracing`, `RequestContext`, CORS, gzip,
`ErrorBoundary`, `Authentication`. Starlette runs user middleware outside its own exception
handlers, so the boundary is a middleware too; what is raised inside it leaves as an error
envelope.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_service.api.error_table import RouteNotFound
from image_service.api.errors import error_response
from image_service.api.middleware.access_log import Recorder
from image_service.domain.access import RateLimit
from image_service.domain.errors import (
    ImageServiceError,
    Overloaded,
    RateLimitExceeded,
    TokenInvalid,
    TokenMissing,
    TooManyUnknownKeys,
)
from image_service.services import Services
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger("image_service.access")

# In the state of a request that has its whole answer, and whose connection waits for its body:
# the server may end it where it needs the place.
DRAINING: Final = "draining"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SERVER_ERROR = 500
_SHED = (Overloaded, TooManyUnknownKeys)
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
}


class HeadAsGet:
    """Answers HEAD wherever GET is answered; the server itself leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server looks at its own
        await self._app(scope, receive, send)


class EarlyAnswer:
    """Lets an answer that was given before the request body was read reach its sender.

    Closing a connection on which data still arrives makes the kernel reset it: a proxy then
    turns the answer into a 502, and a browser loses it. So the answer says `Connection:
    close`, is sent, and what still comes is read and dropped, for `seconds` at most, before
    the close. Past `max_bytes` nothing more is read, but the connection stays until then.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = 2.0, max_bytes: int = 16 << 20) -> None:
        self._app = app
        self._seconds = seconds
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body_read = False
        closing = False

        async def watching_receive() -> Message:
            nonlocal body_read
            message = await receive()
            body_read = body_read or not message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start":
                closing = not body_read
                if closing:
                    MutableHeaders(scope=message)["Connection"] = "close"
            elif closing and not message.get("more_body", False):
                # uvicorn stops handing out the body once the answer is complete.
                await send({**message, "more_body": True})
                scope.setdefault("state", {})[DRAINING] = True
                await self._drain(watching_receive, lambda: body_read)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, watching_receive, lingering_send)

    async def _drain(self, receive: Receive, body_read: Callable[[], bool]) -> None:
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not body_read() and dropped < self._max_bytes:
                    dropped += len((await receive()).get("body", b""))
                if not body_read():
                    await asyncio.sleep(self._seconds)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class RequestContext:
    """Names the request, adds the headers every answer carries, writes down how it went."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        telemetry: Telemetry,
        untraced: Collection[str],
    ) -> None:
        self._app = app
        self._recorder = Recorder(routes, telemetry)
        self._telemetry = telemetry
        self._untraced = frozenset(untraced)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(Headers(scope=scope))
        exchange = self._recorder.began(scope)

        async def counting_receive() -> Message:
            exchange.receives()
            message = await receive()
            self._recorder.received(exchange, message)
            return message

        async def decorating_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                decorate(MutableHeaders(scope=message), request_id, state.get("rate_limit"))
            exchange.sent(message)
            await send(message)

        traced = scope["path"] not in self._untraced
        with (
            self._telemetry.request(scope["headers"], traced=traced) as ids,
            structlog.contextvars.bound_contextvars(request_id=request_id, **ids),
        ):
            try:
                await self._app(scope, counting_receive, decorating_send)
            except Exception:
                exchange.broken_off()
                raise
            finally:
                self._recorder.ended(exchange)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def decorate(headers: MutableHeaders, request_id: str, rate: RateLimit | None = None) -> None:
    """Add what every answer carries."""
    headers["X-Request-ID"] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if rate is not None:
        headers["X-RateLimit-Limit"] = str(rate.limit)
        headers["X-RateLimit-Remaining"] = str(rate.remaining)
        headers["X-RateLimit-Reset"] = str(rate.reset_at)


class ErrorBoundary:
    """Turns whatever is raised inside into the error envelope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watching_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watching_send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # By the server that can wait no longer; whoever else cancels wants no answer.
            task = asyncio.current_task()
            if started or scope["type"] != "http" or scope["app"].state.ready or not task:
                raise
            task.uncancel()
            error: Exception = Overloaded("The service is being stopped; send the request again.")
        except Exception as raised:
            if scope["type"] != "http":
                raise
            if started:  # too late for an answer; the server closes the connection
                log.exception("answer_broken_off")
                raise
            error = raised
        else:
            return
        await respond(error, scope, receive, send)


async def respond(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Log `error` as it deserves and send its envelope."""
    known = error if isinstance(error, ImageServiceError) else ImageServiceError()
    scope["state"]["error_code"] = known.code
    scope["state"]["error_reason"] = known.reason
    response = error_response(known, scope["state"]["request_id"])
    if known is not error:
        log.error("unhandled_error", exc_info=error)
    elif response.status_code >= _SERVER_ERROR and not isinstance(known, _SHED):
        # Ours to answer for, so with its cause. Overload has none, and is no time to log one.
        log.warning("request_failed", code=known.code, exc_info=error)
    await response(scope, receive, send)


class Authentication:
    """Denies by default: only `open_paths` are reached without a valid bearer token.

    It runs before a byte of the body is read. A known caller's request is counted against
    the rate limits before anything else is done for it.
    """

    def __init__(self, app: ASGIApp, *, open_paths: Collection[str], upload_path: str) -> None:
        self._app = app
        self._open_paths = frozenset(open_paths)
        self._upload_path = upload_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSocket route exists, and none may appear unseen
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"] not in self._open_paths:
            await self._admit(scope)
            if _CONTROL.search(scope["path"]):  # Starlette's routes match before a final newline
                raise RouteNotFound
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        services: Services = scope["app"].state.services
        caller = await services.verifier.verify(_bearer_token(Headers(scope=scope)))
        scope["state"]["caller"] = caller
        upload = scope["method"] == "POST" and scope["path"] == self._upload_path
        rate = await services.rate_limiter.hit(caller.user_id, upload=upload)
        scope["state"]["rate_limit"] = rate
        if not rate.allowed:
            wait = max(1, rate.reset_at - int(time.time()))
            raise RateLimitExceeded(limit=rate.description, retry_after=wait)


def _bearer_token(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise TokenMissing
    found = _BEARER.fullmatch(values[0])
    if len(values) > 1 or not found:
        raise TokenInvalid("Send one Authorization header of the form 'Bearer <token>'.")
    return found[1]
