"""Scripts that are asked for in the same turn of the event loop, sent as one pipeline.

A round trip costs the client ten times what a further command in it does. Under load many
requests are ready at once; one that comes alone is sent alone, a turn later.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from image_service.adapters.redis.scripts import NAMES

Argument = str | bytes | int

_HASHES: Final = {script: hashlib.sha1(script.encode()).hexdigest() for script in NAMES}  # noqa: S324 - Redis' own name for it


@dataclass(frozen=True, slots=True)
class _Call:
    script: str
    keys: Sequence[str]
    arguments: Sequence[Argument]
    answer: asyncio.Future[Any]

    @property
    def operands(self) -> tuple[Argument, ...]:
        return len(self.keys), *self.keys, *self.arguments


class ScriptBatches:
    """Runs Lua scripts. Who stops waiting leaves the others of the batch undisturbed."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: list[_Call] = []
        self._sending: set[asyncio.Task[None]] = set()

    def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """What the script answers. Raises what redis-py does, of this call or of its batch."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        call = _Call(script, keys, arguments, loop.create_future())
        self._waiting.append(call)
        return call.answer

    async def aclose(self) -> None:
        """Wait for what is on its way."""
        await asyncio.gather(*self._sending)

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        sending = asyncio.create_task(self._answer(batch))
        self._sending.add(sending)  # the loop itself keeps only a weak reference
        sending.add_done_callback(self._sending.discard)

    async def _answer(self, batch: list[_Call]) -> None:
        try:
            answers = await self._ask("EVALSHA", batch)
            unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:  # a new Redis, or one that has restarted
                again = await self._ask("EVAL", [batch[at] for at in unknown])
                for at, answer in zip(unknown, again, strict=True):
                    answers[at] = answer
        except Exception as error:  # noqa: BLE001 - handed on to those who wait
            answers = [error] * len(batch)
        for call, answer in zip(batch, answers, strict=True):
            _settle(call.answer, answer)

    async def _ask(self, command: str, batch: list[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            text = _HASHES[call.script] if command == "EVALSHA" else call.script
            pipeline.execute_command(command, text, *call.operands)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
