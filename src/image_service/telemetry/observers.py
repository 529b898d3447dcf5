"""Observers of requests, calls and pictures; `telemetry.metrics` counts their reports.

Everything that becomes a label comes from a small fixed set: never an id, a path or what a
caller wrote. Observers return at once and never raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol


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


class Nobody:
    """Every observer at once, of those who don't care."""

    def began(self) -> None: ...

    def ended(self, method: str, route: str, status: int, seconds: float) -> None: ...

    def refused(self, code: str) -> None: ...

    def upload(self, outcome: str) -> None: ...

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None: ...

    def queued(self, seconds: float) -> None: ...

    def processed(self, stage: Stage, seconds: float) -> None: ...

    def stepped(self, step: str, seconds: float, ago: float = 0.0) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """One for each concern; by default nobody listens."""

    requests: RequestObserver = field(default_factory=Nobody)
    calls: CallObserver = field(default_factory=Nobody)
    pictures: PictureObserver = field(default_factory=Nobody)
    steps: StepObserver = field(default_factory=Nobody)


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
