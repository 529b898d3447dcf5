"""Bound on the requests of one caller that are in progress at once, over all routes.

A request holds its place until its response has been sent, so that one user can't take all
connections: by bodies that don't come, by responses left unread, or because a store is slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.domain.errors import TooManyInFlight

_ANONYMOUS: Final = ""  # all requests without a token are one caller's; no user has this id


class InFlight:
    """Raises TooManyInFlight past `limit`. Runs inside `Authentication`, which names the caller.

    Requests for the paths in `but` are not counted.
    """

    def __init__(self, app: ASGIApp, *, limit: int, but: Collection[str]) -> None:
        self._app = app
        self._limit = limit
        self._but = frozenset(but)
        self._callers: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._but:
            await self._app(scope, receive, send)
            return
        caller = scope["state"].get("caller")
        with self._counted(caller.user_id if caller else _ANONYMOUS):
            await self._app(scope, receive, send)

    @contextmanager
    def _counted(self, caller: str) -> Iterator[None]:
        if self._callers[caller] >= self._limit:
            raise TooManyInFlight(
                self._callers[caller] + 1, self._limit, anonymous=caller == _ANONYMOUS
            )
        self._callers[caller] += 1
        try:
            yield
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
