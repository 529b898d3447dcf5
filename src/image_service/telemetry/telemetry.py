"""The telemetry of the running service: metrics, and spans where it is traced.

Nothing here raises or waits. Names of calls, parts and routes come from small fixed sets:
never an id, a path or what a caller wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, Self

from image_service.domain.outbox import Backlog
from image_service.telemetry.metrics import CallOutcome, Metrics, Stage

if TYPE_CHECKING:
    from image_service.telemetry.tracing import Tracing

_METHODS: Final = frozenset({"GET", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
_UNTRACED: Final = nullcontext[Mapping[str, str | bool]]({})
_LAG_EVERY: Final = 0.25  # seconds; 4 wake-ups a second cost nothing


class Telemetry(Metrics):
    """All metrics of one app, by name, and a method for whatever is more than one number.

    Where there is `tracing`, requests, calls and parts are spans, too.
    """

    def __init__(
        self, build: Mapping[str, str] | None = None, tracing: Tracing | None = None
    ) -> None:
        super().__init__(build or {})
        self.tracing = tracing

    def running(self) -> AbstractAsyncContextManager[None]:
        """Surrounds everything: spans are sent, the last ones on leaving, in bounded time."""
        return nullcontext() if self.tracing is None else self.tracing.running()

    @asynccontextmanager
    async def watching_loop(self, every: float = _LAG_EVERY) -> AsyncIterator[None]:
        """Measure meanwhile how much too late each short sleep ends."""
        watching = asyncio.create_task(self._watch_loop(every))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch_loop(self, every: float) -> None:
        while True:
            due = perf_counter() + every  # the loop's own clock stands still while it is held up
            await asyncio.sleep(every)
            self.event_loop_lag.observe(max(0.0, perf_counter() - due))

    def request(
        self, headers: Sequence[tuple[bytes, bytes]], *, traced: bool
    ) -> AbstractContextManager[Mapping[str, str | bool]]:
        """Surrounds a request: what is measured meanwhile is part of its trace.

        Yields what its log lines are found by. Names of `headers` are in lower case.
        """
        if self.tracing is None or not traced:
            return _UNTRACED
        return self.tracing.request(headers)

    def request_ended(
        self,
        *,
        method: str,
        route: str,
        status: int,
        seconds: float,
        reason: str | None,
        upload: str | None,
    ) -> None:
        """Count the current request; `route` is a template.

        `reason` is an error's code, one of `docs/errors.md`; `upload` what became of one:
        `stored`, `replayed`, `client_gone`, or that code.
        """
        self.requests_in_progress.dec()
        if reason is not None:
            self.rejected(reason).inc()
        if upload is not None:
            self.uploads(upload).inc()
        counted = method if method in _METHODS else "other"  # anything can be sent for one
        self.request_seconds(counted, route, status).observe(seconds)
        if self.tracing is not None:
            self.tracing.request_ended(method, route, status, seconds, reason, upload)

    def call(self, service: str, operation: str) -> Call:
        """Surrounds a call of an outside system, all its retries included."""
        return Call(self, service, operation)

    @contextmanager
    def part(self, part: Literal["queue"] | Stage) -> Iterator[None]:
        """Surrounds the wait for a worker, or work on a picture; counted where it ends well."""
        metric = self.queue_wait if part == "queue" else self.processing_seconds(part)
        started = perf_counter()
        yield
        seconds = perf_counter() - started
        metric.observe(seconds)
        self.step(part, seconds)

    def step(self, step: str, seconds: float, ago: float = 0.0) -> None:
        """A part of a request, too fine to be counted, which ended `ago` seconds before now."""
        if self.tracing is not None:
            self.tracing.add_part(step, seconds, ago)

    def outbox(self, backlog: Backlog) -> None:
        """Show what lies in the outbox, as of now."""
        self.outbox_depth.set(backlog.waiting)
        self.outbox_oldest_age.set(backlog.oldest_age)
        self.outbox_set_aside.set(backlog.dead_letters)
        self.outbox_measured.set_to_current_time()


class Call:
    """A call of an outside system.

    Its `outcome` is `ok`, of a cancelled one `cancelled`, of any other exception `unanswered`,
    unless it is set. `retries` are the tries after the first.
    """

    __slots__ = ("_operation", "_service", "_started", "_telemetry", "outcome", "retries")

    def __init__(self, telemetry: Telemetry, service: str, operation: str) -> None:
        self._telemetry = telemetry
        self._service = service
        self._operation = operation
        self.outcome: CallOutcome | None = None
        self.retries = 0

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = perf_counter() - self._started
        telemetry, service, operation = self._telemetry, self._service, self._operation
        outcome, retries = self.outcome, self.retries
        if outcome is None:
            of_ours = kind is not None and not issubclass(kind, Exception)
            outcome = "cancelled" if of_ours else "ok" if kind is None else "unanswered"
        telemetry.call_seconds(service, operation, outcome).observe(seconds)
        if retries:
            telemetry.call_retries(service, operation).inc(retries)
        if telemetry.tracing is not None:
            telemetry.tracing.add_call(service, operation, outcome, seconds, retries)
