"""gzip, for the clients that want it."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Final

from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Receive, Scope, Send

MINIMUM_BYTES: Final = 1024
_IN_A_THREAD: Final = 16 * 1024  # half a millisecond, or up to 2 ms of what hardly shrinks
_LARGE: Final = 256 * 1024
# Of a page of 20 images half the time of level 5, for 4 % more bytes; of a large page of
# texts a fifth less, for 9 %.
_LEVEL: Final = 3

_REFUSED = re.compile(r"q\s*=\s*0(?:\.0{0,3})?")


def accepts_gzip(accept_encoding: str) -> bool:
    """Returns whether an Accept-Encoding header names gzip, not with weight 0 (RFC 9110, 12.5.3).

    `*` is not taken for it: who can do gzip says so.
    """
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding in {"gzip", "x-gzip"}:
            return not any(_REFUSED.fullmatch(parameter) for parameter in parameters)
    return False


class Compression:
    """Starlette's gzip, for those who accept it, one body at a time in a thread.

    Starlette's middleware looks for the word alone: it would zip for `gzip;q=0`, and not for
    `GZIP`. Its threads are forty; zlib lets go of the interpreter, but not of the processor: sixty
    pages of 234 KB at once held the event loop of one core up for 270 ms, in turns for 5. Large
    bodies have turns of their own, so that those of medium size don't wait for them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._medium = CapacityLimiter(1)
        self._large = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = ", ".join(Headers(scope=scope).getlist("accept-encoding"))
        responder: ASGIApp = (
            _Responder(self._app, self._medium, self._large)
            if accepts_gzip(asked)
            # No picture is sent from here, nor is another type that is left as it is.
            else IdentityResponder(self._app, MINIMUM_BYTES, exclude_content_types=())
        )
        await responder(scope, receive, send)


class _Responder(GZipResponder):
    def __init__(self, app: ASGIApp, medium: CapacityLimiter, large: CapacityLimiter) -> None:
        super().__init__(
            app,
            MINIMUM_BYTES,
            _LEVEL,
            thread_minimum_size=_IN_A_THREAD,
            exclude_content_types=(),
        )
        self._medium = medium
        self._large = large

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        in_a_thread = self._large if len(body) >= _LARGE else self._medium
        async with in_a_thread if len(body) >= _IN_A_THREAD else nullcontext():
            return await super().apply_compression(body, more_body=more_body)
