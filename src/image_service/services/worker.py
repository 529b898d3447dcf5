"""The worker beside the requests: one in every task, started and stopped with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import structlog

from image_service.domain.outbox import Backlog
from image_service.domain.time_limits import TimeLimits
from image_service.domain.times import utc_now
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import STALE_AFTER, IntentSweeper, RerenderSweeper
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger(__name__)

_GATHERING: Final = 0.2  # seconds; what is deleted in a row goes into one invalidation
_IDLEST: Final = 6  # times the poll; a round without work is twelve queries
_STOPPING: Final = 10.0  # seconds for the round that is running; leases cover what it leaves


class BacklogReader(Protocol):
    async def measure(self, now: datetime) -> Backlog:
        """Returns what lies in the outbox, at a bounded price. Raises DependencyUnavailable."""
        ...


class Worker:
    """Looks for due work about every `poll` seconds, or when nudged, and sweeps now and then.

    Each round without work doubles the wait, up to `_IDLEST` times `poll`.

    About every `measure_every` seconds it measures what lies in the outbox.
    """

    def __init__(  # noqa: PLR0913 # four of them only tests pass
        self,
        *,
        processor: OutboxProcessor,
        sweeper: IntentSweeper,
        rerenders: RerenderSweeper | None = None,
        poll: float = TimeLimits.outbox_poll,
        sweep_every: float = 600.0,
        backlog: BacklogReader | None = None,
        telemetry: Telemetry | None = None,
        measure_every: float = 60.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._processor = processor
        self._sweeper = sweeper
        self._rerenders = rerenders
        self._poll = poll
        self._sweep_every = sweep_every
        self._backlog = backlog
        self._telemetry = telemetry or Telemetry()
        self._measure_every = measure_every
        self._now = now
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def nudge(self) -> None:
        """Something has just become due."""
        self._awake.set()

    def start(self) -> None:
        # Apart, because S3 may keep a sweep waiting for long.
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._sweeps())]

    async def aclose(self) -> None:
        """Let what is running end, within bounds. What is left, other tasks will find."""
        self._stopping.set()
        self._awake.set()
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=_STOPPING)
        for task in pending:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        measure_at = clock()
        wait = self._poll
        while not self._stopping.is_set():
            busy = await self._guarded_round()
            if clock() >= measure_at:
                await self._guarded_measure()
                measure_at = clock() + self._measure_every * _jitter()
            # Of what a nudge announces, a failed step is put off: it is looked for soon, too.
            if busy or await self._nudged_within(wait * _jitter()):
                wait = self._poll
            else:
                wait = min(2 * wait, _IDLEST * self._poll)

    async def _sweeps(self) -> None:
        wait = self._sweep_every * random.random()  # noqa: S311 # spread over tasks
        while not await self._stops_within(wait):
            await self._guarded_sweep()
            wait = self._sweep_every * _jitter()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _guarded_round(self) -> bool:
        try:
            taken = await self._processor.round()
        except Exception:
            log.exception("outbox_round_failed")
            return False
        self._telemetry.outbox_last_round.set_to_current_time()
        return taken > 0

    async def _guarded_sweep(self) -> None:
        before = self._now() - STALE_AFTER
        try:
            self._telemetry.orphans_found("upload").inc(await self._sweeper.sweep(before))
        except Exception:
            log.exception("sweep_failed")
        if self._rerenders is None:
            return
        try:
            self._telemetry.orphans_found("rerender").inc(await self._rerenders.sweep(before))
        except Exception:
            log.exception("sweep_failed")

    async def _guarded_measure(self) -> None:
        if self._backlog is None:
            return
        try:
            self._telemetry.outbox(await self._backlog.measure(self._now()))
        except Exception:
            log.warning("backlog_not_measured", exc_info=True)

    async def _nudged_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            return False
        self._awake.clear()
        if not self._stopping.is_set():
            await asyncio.sleep(_GATHERING)
        return True


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311 # so that tasks don't poll in step
