"""gzip, for the clients that want it."""

from __future__ import annotations

import re
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Receive, Scope, Send

MINIMUM_BYTES: Final = 1024
_IN_A_THREAD: Final = 16 * 1024  # half a millisecond, or up to 3 ms of what hardly shrinks
_LARGE: Final = 256 * 1024
_LEVEL: Final = 5
# A third of the time of level 5. A page of 2.7 MB takes 180 ms and not 520, for 3 % more bytes.
_LEVEL_OF_LARGE: Final = 1

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
    """gzip for what is long enough, off the event loop unless it is short.

    zlib lets go of the interpreter, but not of the processor: a thread for each response would
    leave the event loop a tenth of it. So large ones take turns in one thread, and those of
    medium size, which a large one must not delay, in another.

    Starlette's middleware looks for the word alone: it would zip for `gzip;q=0`, and not for
    `GZIP`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._large = CapacityLimiter(1)
        self._medium = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = ", ".join(Headers(scope=scope).getlist("accept-encoding"))
        if not accepts_gzip(asked):
            await IdentityResponder(self._app, MINIMUM_BYTES)(scope, receive, send)
            return
        await _Responder(self._app, self._medium, self._large)(scope, receive, send)


class _Responder(GZipResponder):
    def __init__(self, app: ASGIApp, medium: CapacityLimiter, large: CapacityLimiter) -> None:
        super().__init__(app, MINIMUM_BYTES, _LEVEL)
        self._medium = medium
        self._large = large

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) < _IN_A_THREAD:
            return self._compress_body(body, more_body)
        large = len(body) >= _LARGE
        if large and self._compressor is None:
            self.compresslevel = _LEVEL_OF_LARGE
        limiter = self._large if large else self._medium
        return await to_thread.run_sync(self._compress_body, body, more_body, limiter=limiter)
