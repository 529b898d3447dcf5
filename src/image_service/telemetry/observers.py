"""Observers of the running service; `telemetry.prometheus` counts their reports.

Everything that becomes a label comes from a small fixed set: never an id, a path or what a
caller wrote. Observers return at once and never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from image_service.ports import CacheObserver, CacheOutcome, CachePart


class RequestObserver(Protocol):
    """HTTP requests. `route` is a template, `code` one of `docs/errors.md`."""

    def began(self) -> None: ...

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """The last that is told of it."""
        ...

    def refused(self, code: str) -> None:
        """It was answered with an error."""
        ...

    def upload(self, outcome: str) -> None:
        """`stored`, `replayed`, `client_gone`, or the code of the error."""
        ...


class ConnectionObserver(Protocol):
    """What clients open and send, where it is no request for the service."""

    def connection_refused(self, code: str) -> None:
        """It was answered with an error, one of `docs/errors.md`, and is being closed."""
        ...


CallOutcome = Literal["ok", "refused", "throttled", "failed", "unanswered", "cancelled"]
"""`refused`: a failed condition, or a fault of ours. `cancelled`: by a deadline of ours."""


class CallObserver(Protocol):
    """Calls of outside systems, with all their retries."""

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None: ...


Stage = Literal["header", "pixels"]


class PictureObserver(Protocol):
    """The work on pictures."""

    def queued(self, seconds: float) -> None:
        """It has waited that long for a worker; 0 where one was free."""
        ...

    def processed(self, stage: Stage, seconds: float) -> None: ...


class StepObserver(Protocol):
    """Parts of a request that are too fine to be counted. From any thread."""

    def stepped(self, step: str, seconds: float, ago: float = 0.0) -> None:
        """It ended, well or not, `ago` seconds before now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What lies in the outbox. The oldest is so many seconds old; 0 where there is none.

    `waiting` and `set_aside` are counted up to a bound, and no further.
    """

    waiting: int
    oldest_age: float
    set_aside: int


class WorkerObserver(Protocol):
    """The work after a commit."""

    def round_ended(self) -> None:
        """The outbox was looked through, and what was due has been tried."""
        ...

    def backlog(self, backlog: Backlog) -> None: ...

    def swept(self, orphans: int) -> None:
        """Uploads that had left files behind were cleared away."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """What the process holds of uploads at the moment; sizes in bytes."""

    uploads: int
    upload_bytes: int
    waiting: int
    processing: int


class ProcessObserver(Protocol):
    """The process itself."""

    def watch_load(self, load: Callable[[], Load]) -> None:
        """Ask it whenever somebody wants to know; from any thread."""
        ...

    def loop_lagged(self, seconds: float) -> None:
        """The event loop came back that much later than asked."""
        ...


class Nobody:
    """Every observer at once, of those who don't care."""

    def began(self) -> None: ...

    def ended(self, method: str, route: str, status: int, seconds: float) -> None: ...

    def refused(self, code: str) -> None: ...

    def upload(self, outcome: str) -> None: ...

    def connection_refused(self, code: str) -> None: ...

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None: ...

    def queued(self, seconds: float) -> None: ...

    def processed(self, stage: Stage, seconds: float) -> None: ...

    def stepped(self, step: str, seconds: float, ago: float = 0.0) -> None: ...

    def round_ended(self) -> None: ...

    def backlog(self, backlog: Backlog) -> None: ...

    def swept(self, orphans: int) -> None: ...

    def watch_load(self, load: Callable[[], Load]) -> None: ...

    def loop_lagged(self, seconds: float) -> None: ...

    def read(self, part: CachePart, outcome: CacheOutcome) -> None: ...

    def invalidation_lost(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """One for each concern; by default nobody listens."""

    requests: RequestObserver = field(default_factory=Nobody)
    connections: ConnectionObserver = field(default_factory=Nobody)
    calls: CallObserver = field(default_factory=Nobody)
    cache: CacheObserver = field(default_factory=Nobody)
    pictures: PictureObserver = field(default_factory=Nobody)
    steps: StepObserver = field(default_factory=Nobody)
    worker: WorkerObserver = field(default_factory=Nobody)
    process: ProcessObserver = field(default_factory=Nobody)


class Metrics(Protocol):
    """What observers have gathered, for a scraper to fetch."""

    @property
    def observers(self) -> Observers: ...

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text, and its content type, that suits an Accept header. May block."""
        ...


TraceIds = Mapping[str, str | bool]
"""`trace_id`, `span_id` (hexadecimal), `trace_sampled`: what log lines are found by."""


class Tracing(Protocol):
    """Requests, and what they are made of, sent to somebody as traces."""

    def around(self, observers: Observers) -> Observers:
        """Have what they are told made into spans, too."""
        ...

    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[TraceIds]:
        """Around a request: what observers are told meanwhile is part of it.

        It goes on with the trace that `headers` (lower-case names) tell of, if they do.
        """
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Around everything: spans are sent, the last ones on leaving, in bounded time."""
        ...
