"""The lag of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from image_service.telemetry.observers import ProcessObserver

_EVERY: Final = 0.25  # seconds; 4 wake-ups a second cost nothing


@asynccontextmanager
async def watched_loop(observer: ProcessObserver, every: float = _EVERY) -> AsyncIterator[None]:
    """Tell `observer` meanwhile how much too late each short sleep ends."""
    watching = asyncio.create_task(_watch(observer, every))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _watch(observer: ProcessObserver, every: float) -> None:
    while True:
        due = perf_counter() + every  # the loop's own clock stands still while it is held up
        await asyncio.sleep(every)
        observer.loop_lagged(max(0.0, perf_counter() - due))
