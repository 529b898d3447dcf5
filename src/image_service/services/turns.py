"""Turns of users at something that serves one at a time, such as the thread that reads headers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One holder at a time. Users take turns, one request each, however many a user has waiting."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Around what is served; waits for the user's turn."""
        if self._taken:
            await self._called(user_id)
        self._taken = True
        try:
            yield
        finally:
            self._call_next()

    async def _called(self, user_id: str) -> None:
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(call)
        try:
            await call
        except asyncio.CancelledError:
            if call.done() and not call.cancelled():  # given the turn, but cancelled before it ran
                self._call_next()
            raise

    def _call_next(self) -> None:
        """Call the first of the user who has waited longest; that user's next is last."""
        while self._waiting:
            user_id, calls = self._waiting.popitem(last=False)
            call = calls.popleft()
            if calls:
                self._waiting[user_id] = calls
            if not call.cancelled():
                call.set_result(None)
                return
        self._taken = False
