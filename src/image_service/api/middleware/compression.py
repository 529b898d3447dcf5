"""gzip, for the clients that want it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

_GZIP = (b"accept-encoding", b"gzip")
_REFUSED = re.compile(r"q\s*=\s*0(?:\.0{0,3})?")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not with the weight 0 (RFC 9110, 12.5.3).

    `*` is not taken for it: who can do gzip says so.
    """
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding in {"gzip", "x-gzip"}:
            return not any(_REFUSED.fullmatch(parameter) for parameter in parameters)
    return False


class Compression(GZipMiddleware):
    """Starlette's looks for the word alone: it would zip for `gzip;q=0`, and not for `GZIP`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked = ", ".join(Headers(scope=scope).getlist("accept-encoding"))
            others = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            scope["headers"] = [*others, _GZIP] if accepts_gzip(asked) else others
        await super().__call__(scope, receive, send)
