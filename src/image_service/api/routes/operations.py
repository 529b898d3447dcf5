"""The route of the operations port: `/metrics`."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from image_service.telemetry.telemetry import Telemetry

_PATH: Final = "/metrics"


def operations_app(telemetry: Telemetry) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response: Response = PlainTextResponse("There is only /metrics here.\n", 404)
        if scope["path"] == _PATH:
            accept = Request(scope).headers.get("accept", "")
            # In a thread: it reads /proc, and no request should wait for it.
            body, content_type = await asyncio.to_thread(telemetry.render, accept)
            response = Response(body, headers={"Content-Type": content_type})
        await response(scope, receive, send)

    return app
