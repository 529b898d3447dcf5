"""The stand-in for CloudFront: pictures on the service's own port, read from the emulator.

As on AWS one host has both: `/images/….webp` is a file of the bucket, all else the service's.
The emulator, which lets anyone do anything, stays on loopback.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

App = Callable[[Any, Any, Any], Awaitable[None]]

# The path pattern of the distribution's behaviour, `/images/*.webp`.
_PICTURE: Final = re.compile(rb"/images/.+\.(webp|avif)")
_ASKED: Final = (b"if-none-match", b"if-modified-since", b"range")
_PASSED_ON: Final = (
    "accept-ranges",
    "cache-control",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
)
# As the response headers policy `pictures` of Terraform's module cdn has it.
_OPEN: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
]


class LocalCdn:
    """Server of pictures from `origin`; everything else goes on to `app`."""

    def __init__(self, app: App, origin: str) -> None:
        self._app = app
        self._client = httpx.AsyncClient(base_url=origin, trust_env=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and _PICTURE.fullmatch(scope["raw_path"])
        ):
            await self._respond(scope, send)
            return
        await self._app(scope, receive, send)
        if scope["type"] == "lifespan":
            await self._client.aclose()

    async def _respond(self, scope: Any, send: Any) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name in _ASKED]
        path = scope["raw_path"].decode("ascii")
        found = await self._client.request(scope["method"], path, headers=headers)
        passed_on = [
            (name.encode(), found.headers[name].encode())
            for name in _PASSED_ON
            if name in found.headers
        ]
        await send(
            {
                "type": "http.response.start",
                "status": found.status_code,
                "headers": [*passed_on, *_OPEN],
            }
        )
        await send({"type": "http.response.body", "body": found.content})
