"""A bound on how long an answer may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_service.domain.errors import DependencyUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTimes:
    """Seconds from the last byte of the request to the answer."""

    upload: float = 30.0
    delete: float = 15.0
    other: float = 10.0


class Deadlines:
    """Cancels a request that takes too long; the answer is then DependencyUnavailable.

    The services are written for it: what may not stop half-way goes on without the request.
    While a body is on its way no time passes: how slowly it may come is `pace`'s to say.
    Nor once the answer has begun: how slowly it may be read is the connection's.
    """

    def __init__(self, app: ASGIApp, *, upload_path: str, times: AnswerTimes) -> None:
        self._app = app
        self._upload_path = upload_path
        self._times = times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds = self._seconds(scope)
        now = asyncio.get_running_loop().time
        complete = False

        async def timed_receive() -> Message:
            nonlocal complete
            if complete or deadline.expired():
                return await receive()
            deadline.reschedule(None)
            message = await receive()
            complete = not message.get("more_body", False)
            deadline.reschedule(now() + seconds)
            return message

        async def untimed_send(message: Message) -> None:
            if not deadline.expired():
                deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._app(scope, timed_receive, untimed_send)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DependencyUnavailable from TimeoutError(f"not answered within {seconds:g} s")

    def _seconds(self, scope: Scope) -> float:
        if scope["method"] == "POST" and scope["path"] == self._upload_path:
            return self._times.upload
        return self._times.delete if scope["method"] == "DELETE" else self._times.other
