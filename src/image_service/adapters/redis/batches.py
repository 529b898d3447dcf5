"""Scripts that are asked for in the same turn of the event loop, sent as one pipeline.

A round trip costs the client ten times what a further command in it does. Under load many
requests are ready at once; one that comes alone is sent alone, a turn later.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from image_service.adapters.redis.scripts import NAMES

Argument = str | bytes | int

_TICKS: Final = 10

# Redis' own names for them, which it knows once it has run them.
_HASHES: Final = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for script in NAMES
}


@dataclass(frozen=True, slots=True)
class _Call:
    script: str
    keys: Sequence[str]
    arguments: Sequence[Argument]
    result: asyncio.Future[Any]


@asynccontextmanager
async def responsive_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds in which the event loop was responsive.

    While the loop is held up, responses lie unread: that is no failure of Redis, and an
    outage made of it would lift the rate limits of everybody. So time is counted in ticks.
    """
    loop = asyncio.get_running_loop()
    left = _TICKS
    clock: asyncio.TimerHandle

    def tick() -> None:
        nonlocal left, clock
        left -= 1
        if left:
            clock = loop.call_later(seconds / _TICKS, tick)
        else:
            deadline.reschedule(loop.time())

    async with asyncio.timeout(None) as deadline:
        clock = loop.call_later(seconds / _TICKS, tick)
        try:
            yield
        finally:
            clock.cancel()


class ScriptBatches:
    """Runs Lua scripts; a batch takes `timeout` seconds at most, but for stalls of our own.

    Who stops waiting leaves the others of the batch undisturbed.
    """

    def __init__(self, client: Redis, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._waiting: list[_Call] = []
        self._sending: set[asyncio.Task[None]] = set()

    def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """Returns the script's result.

        Raises what redis-py does, of this call or of its batch, and TimeoutError.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        call = _Call(script, keys, arguments, loop.create_future())
        self._waiting.append(call)
        return call.result

    async def aclose(self) -> None:
        """Send what waits, and wait for what is on its way."""
        self._send()
        await asyncio.gather(*self._sending)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch = [call for call in waiting if not call.result.done()]
        if batch:
            sending = asyncio.create_task(self._call_redis(batch))
            self._sending.add(sending)  # the loop itself keeps only a weak reference
            sending.add_done_callback(self._sending.discard)

    async def _call_redis(self, batch: list[_Call]) -> None:
        try:
            async with responsive_timeout(self._timeout):
                unknown = await self._ask("EVALSHA", batch)
                if unknown and await self._ask("EVAL", unknown):
                    raise NoScriptError
        except Exception as error:  # noqa: BLE001 - handed on to those who wait
            for call in batch:
                _settle(call.result, error)

    async def _ask(self, command: str, batch: list[_Call]) -> list[_Call]:
        """Settle the results of Redis; returns the scripts it does not know."""
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            script = _HASHES[call.script] if command == "EVALSHA" else call.script
            pipeline.execute_command(command, script, len(call.keys), *call.keys, *call.arguments)
        unknown = []
        for call, result in zip(batch, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(result, NoScriptError):
                unknown.append(call)
            else:
                _settle(call.result, result)
        return unknown


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():  # or its caller was cancelled
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
