"""The gate before the routes: tokens, rate limits, and the bound of requests in progress."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers

from image_service.api.error_table import RouteNotFound
from image_service.api.middleware.exchange import Exchange
from image_service.api.state import state_of
from image_service.domain.errors import (
    RateLimitExceeded,
    TokenInvalid,
    TokenMissing,
    TooManyInFlight,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
_ANONYMOUS: Final = ""  # all requests without a token are one caller's; no user has this id


class Gate:
    """Denies by default: only `open_paths` are reached without a valid bearer token.

    It is passed before a byte of the body is read. A known caller's request is counted against
    the rate limits before anything else is done for it. Of each caller at most `limit` requests
    are in progress, over all routes but those of `uncounted`: one user can't take all connections,
    by bodies that don't come, by responses left unread, or because a store is slow.
    """

    def __init__(
        self,
        *,
        open_paths: Collection[str],
        upload_path: str,
        limit: int,
        uncounted: Collection[str],
    ) -> None:
        self._open_paths = frozenset(open_paths)
        self._upload_path = upload_path
        self._limit = limit
        self._uncounted = frozenset(uncounted)
        self._callers: Counter[str] = Counter()

    async def enter(self, exchange: Exchange) -> str | None:
        """Returns whose place it has, until `leave`; None where it needs none.

        Raises Unauthenticated, RateLimitExceeded, RouteNotFound, TooManyInFlight.
        """
        path = exchange.scope["path"]
        caller = _ANONYMOUS
        if path not in self._open_paths:
            caller = await self._authenticate(exchange)
            if _CONTROL.search(path):  # Starlette's routes match before a final newline
                raise RouteNotFound
        if path in self._uncounted:
            return None
        if self._callers[caller] >= self._limit:
            raise TooManyInFlight(
                self._callers[caller] + 1, self._limit, anonymous=caller == _ANONYMOUS
            )
        self._callers[caller] += 1
        return caller

    def leave(self, caller: str | None) -> None:
        if caller is None:
            return
        self._callers[caller] -= 1
        if not self._callers[caller]:
            del self._callers[caller]

    async def _authenticate(self, exchange: Exchange) -> str:
        scope = exchange.scope
        services = state_of(scope["app"]).services
        caller = await services.verifier.verify(_bearer_token(Headers(scope=scope)))
        exchange.caller = caller
        upload = scope["method"] == "POST" and scope["path"] == self._upload_path
        rate = await services.rate_limiter.hit(caller.user_id, upload=upload)
        exchange.rate_limit = rate
        if not rate.allowed:
            wait = max(1, rate.reset_at - int(time.time()))
            raise RateLimitExceeded(limit=rate.description, retry_after=wait)
        return caller.user_id


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
