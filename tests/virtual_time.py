"""An event loop whose clock stands while anything runs, and jumps to the next deadline else.

For tests of clocks: a pause of the machine is no time for them, and nobody waits. A test, or all
of a module with `pytestmark`, runs on a loop of its own with `@virtual_time.MARK`; so do
asynchronous fixtures of `loop_scope="function"`. Threads and other processes know nothing of it:
who waits for one with a time limit waits for nothing.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Final

import pytest

MARK: Final = pytest.mark.asyncio(loop_scope="function", loop_factories=["virtual"])

# What was sent over loopback may take a moment until the other end can read it.
_ON_ITS_WAY_SECONDS: Final = 0.05


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


def share_real_loop(metafunc: pytest.Metafunc) -> None:
    """Has a synchronous test name the loop's factory, as asynchronous ones do.

    Else it would name none, and all that is shared by the run would be torn down before it.
    """
    factory = "_asyncio_loop_factory"  # pytest-asyncio's
    if factory not in metafunc.fixturenames:
        metafunc.fixturenames.append(factory)
        metafunc.parametrize(
            factory,
            [asyncio.new_event_loop],
            ids=[pytest.HIDDEN_PARAM],
            indirect=True,
            scope="session",
        )


def loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Those that an item may choose from."""
    mark = item.get_closest_marker("asyncio")
    if mark is not None and mark.kwargs.get("loop_factories"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
