"""The boundary around the routes: who may enter, for how long, and how errors leave.

Starlette's and FastAPI's own layers for that are left out (`app.Application`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.api.dependencies import AppState
from image_service.api.error_table import RouteNotFound
from image_service.api.errors import (
    error_response,
    from_http_exception,
    from_request_validation,
)
from image_service.api.middleware.exchange import Exchange, exchange_of
from image_service.domain.access import Caller, RateLimit
from image_service.domain.errors import (
    ImageServiceError,
    Overloaded,
    RateLimitExceeded,
    TokenInvalid,
    TokenMissing,
    TooManyInFlight,
    TooManyUnknownKeys,
    ValidationFailed,
)
from image_service.domain.images import USER_ID_RULE, is_user_id

log = structlog.stdlib.get_logger("image_service.access")

_SERVER_ERROR = 500
_SHED = (Overloaded, TooManyUnknownKeys)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
_ON_BEHALF_OF: Final = "on-behalf-of"
_ANONYMOUS: Final = ""  # all requests without a token are one caller's; no user has this id


class Boundary:
    """Turns whatever is raised inside into the error envelope."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute], state: AppState) -> None:
        self._app = app
        self._routes = routes
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        try:
            await exchange.within_time(self._app(scope, receive, send))
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # By the server that can wait no longer; whoever else cancels wants no response.
            task = asyncio.current_task()
            if exchange.has_response or self._state.ready or not task:
                raise
            task.uncancel()
            error: Exception = Overloaded("The service is being stopped; send the request again.")
        except Exception as raised:
            if exchange.has_response:  # too late; the server closes the connection
                log.exception("answer_broken_off")
                raise
            error = raised
        else:
            return
        known = self._translated(error, scope)
        exchange.fail(known)
        response = error_response(known, exchange.request_id)
        ours = response.status_code >= _SERVER_ERROR and not isinstance(known, _SHED)
        if ours and known is error:
            # So with its cause. Overload has none, and is no time to log one.
            log.warning("request_failed", code=known.code, exc_info=error)
        _drop_tracebacks(error)
        await response(scope, receive, send)

    def _translated(self, raised: Exception, scope: Scope) -> ImageServiceError:
        match raised:
            case ImageServiceError():
                return raised
            case RequestValidationError():
                return from_request_validation(raised)
            case HTTPException():
                return from_http_exception(raised, self._allowed_methods(scope))
        log.error("unhandled_error", exc_info=raised)
        return ImageServiceError()

    def _allowed_methods(self, scope: Scope) -> set[str]:
        """Over all routes of the path: Starlette itself names only the first one's."""
        methods = {
            method
            for route in self._routes
            if route.matches(scope)[0] is not Match.NONE
            for method in getattr(route, "methods", None) or ()
        }
        return methods | {"HEAD"} if "GET" in methods else methods


def _drop_tracebacks(error: BaseException) -> None:
    """Free what the frames of a failed request hold, such as an uploaded file.

    Futures and frames that know their own error are cycles, which wait for a full collection.
    """
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            found += [one.__cause__, one.__context__]


class Gate:
    """Denies by default: only `open_paths` are reached without a valid bearer token.

    It is passed before a byte of the body is read. A known caller's request is counted against
    the rate limits before anything else is done for it. Of each caller at most `limit` requests
    are in progress, over all routes but those of `uncounted`: one user can't take all connections,
    by bodies that don't come, by responses left unread, or because a store is slow.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: AppState,
        open_paths: Collection[str],
        upload_path: str,
        limit: int,
        uncounted: Collection[str],
    ) -> None:
        self._app = app
        self._state = state
        self._open_paths = frozenset(open_paths)
        self._upload_path = upload_path
        self._limit = limit
        self._uncounted = frozenset(uncounted)
        self._callers: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Unauthenticated, NotAuthorized, ValidationFailed, RateLimitExceeded,
        RouteNotFound, TooManyInFlight.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, caller = scope["path"], _ANONYMOUS
        if path not in self._open_paths:
            caller = await self._authenticate(exchange_of(scope))
            if _CONTROL.search(path):  # Starlette's routes match before a final newline
                raise RouteNotFound
        if path in self._uncounted:
            await self._app(scope, receive, send)
            return
        if self._callers[caller] >= self._limit:
            raise TooManyInFlight(
                self._callers[caller] + 1, self._limit, anonymous=caller == _ANONYMOUS
            )
        self._callers[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    async def _authenticate(self, exchange: Exchange) -> str:
        scope = exchange.scope
        services, headers = self._state.services, Headers(scope=scope)
        caller = await services.verifier.verify(_bearer_token(headers))
        exchange.caller = caller
        try:
            if _ON_BEHALF_OF in headers:
                caller = _acting(caller, headers.getlist(_ON_BEHALF_OF))
                exchange.caller = caller
        finally:  # who may not act for others, or says it badly, is counted all the same
            upload = scope["method"] == "POST" and scope["path"] == self._upload_path
            _count(exchange, await services.rate_limiter.hit(caller, upload=upload))
        return caller.sender


def _count(exchange: Exchange, rate: RateLimit) -> None:
    exchange.rate_limit = rate
    if not rate.allowed:
        wait = max(1, rate.reset_at - int(time.time()))
        raise RateLimitExceeded(limit=rate.description, retry_after=wait)


def _acting(caller: Caller, named: list[str]) -> Caller:
    """Returns the machine acting for the user that its header names.

    Raises NotAuthorized where it is no machine, ValidationFailed where that is no user.
    """
    acting = caller.on_behalf_of(named[0])
    if len(named) > 1:
        error = f"came {len(named)} times; send one"
    elif not is_user_id(named[0]):
        error = f"must be the id of a user: {USER_ID_RULE}"
    elif named[0] == caller.id:
        error = "names the machine itself; name a user"
    else:
        return acting
    raise ValidationFailed([("On-Behalf-Of", error)])


def _bearer_token(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise TokenMissing
    found = _BEARER.fullmatch(values[0])
    if len(values) > 1 or not found:
        raise TokenInvalid(
            "The Authorization header is not one 'Bearer <token>'; send exactly one of that form."
        )
    return found[1]
