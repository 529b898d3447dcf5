"""An event loop whose clock stands while anything runs, and jumps to the next deadline else.

For tests of clocks: a pause of the machine is no time for them, and nobody waits. A test runs on
a loop of its own with `@virtual_time.MARK`; what it needs running there, a fixture of its module
opens with `running`. Threads and other processes know nothing of it: who waits for one with a
time limit waits for nothing.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from typing import Any, Final, TypeVar

import pytest

T = TypeVar("T")

# What was sent over loopback may take a moment until the other end can read it.
_ON_ITS_WAY_SECONDS: Final = 0.05
_of_fixtures: list[VirtualTimeLoop] = []


def MARK(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:  # noqa: N802
    """Not by pytest-asyncio, whose other loops end the fixtures of the session's."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        if _of_fixtures:
            _of_fixtures[-1].run_until_complete(test(*arguments, **fixtures))
            return
        with closing(VirtualTimeLoop()) as loop:
            loop.run_until_complete(test(*arguments, **fixtures))

    return run


@contextmanager
def running(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Open around a test, on the loop that it will run on."""
    with closing(VirtualTimeLoop()) as loop:
        _of_fixtures.append(loop)
        try:
            value = loop.run_until_complete(manager.__aenter__())
            yield value
            loop.run_until_complete(manager.__aexit__(None, None, None))
        finally:
            _of_fixtures.remove(loop)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """While it runs, `time.monotonic()` and its like tell its time, too."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._began = {
            name: getattr(time, name)() for name in ("monotonic", "perf_counter", "time")
        }
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._began["monotonic"] + self._passed

    def jump(self, seconds: float) -> None:
        self._passed += seconds

    def run_forever(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, began in self._began.items():
                patch.setattr(time, name, lambda began=began: began + self._passed)
            super().run_forever()

    def close(self) -> None:
        """Once what was told to close has closed: no later test gives this loop a turn."""
        if not self.is_closed():
            for transport in list(self._transports.values()):  # type: ignore[attr-defined]
                transport.abort()
            self.run_until_complete(asyncio.sleep(0))
        super().close()


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type] # the system's
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        alone = len(self.get_map()) == 1  # with what wakes it from other threads
        ready = super().select(0 if alone else _ON_ITS_WAY_SECONDS)
        if not ready:
            self._loop.jump(timeout)
        return ready
