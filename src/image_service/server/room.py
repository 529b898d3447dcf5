"""The places of open connections: how many are served, and which gives way to a new one."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final, Literal, Protocol

import structlog

from image_service.api.routes.health import PROBES
from image_service.domain.errors import Overloaded
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger(__name__)

_FEW_DESCRIPTORS: Final = 16
_MANY_DESCRIPTORS: Final = 0.9  # of the limit
_OPEN_FILES: Final = "/dev/fd"  # of this process, on Linux and macOS
_SCARCITY_LOGGED_EVERY: Final = 60.0  # seconds


Standing = Literal["waiting", "responded", "unread", "served"]
"""Of a connection, those first that can be spared: it has no request; it has its whole response,
and stays only so that this arrives; it leaves its response unread; its request is being served."""


_SPARED: Final[tuple[Standing, ...]] = ("waiting", "responded", "unread")
_BUSY: Final = frozenset[Standing]({"unread", "served"})


class Occupant(Protocol):
    """A connection, as far as its place is concerned."""

    transport: asyncio.Transport
    waiting_since: float

    @property
    def standing(self) -> Standing: ...


class Room:
    """At most `limit` connections are served at once; health checks are, however many there are.

    `extra` more may be open, to see whether it is the load balancer that asks. `descriptors`
    is the process' limit of open files.
    """

    def __init__(
        self,
        limit: int = 1_000,
        *,
        extra: int = 32,
        descriptors: int | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._limit = limit
        self._extra = extra
        self._descriptors = descriptors
        self._open: set[Occupant] = set()
        self._telemetry = telemetry or Telemetry()
        self._logged_at: dict[bool, float] = {}  # when, of lines about few and about many

    def enter(self, new: Occupant) -> None:
        """Close what can best be spared for it. Raises Overloaded where nothing can."""
        self._open.add(new)
        # The kernel gives out the lowest free number, so that of a new connection shows how
        # many are left.
        used = new.transport.get_extra_info("socket").fileno()
        if self._descriptors is not None and used >= self._descriptors - _FEW_DESCRIPTORS:
            self._close_one(new)
            self._report(used)
        while len(self._open) > self._limit + self._extra:
            if not self._close_one(new):
                raise Overloaded("Too many connections are open; try again shortly.")

    def look(self) -> None:
        """Count the open files, to be called now and then.

        Where there is none left the event loop closes what comes, without a word to anybody.
        """
        if self._descriptors is None:
            return
        used = _open_files(self._descriptors)
        if used >= self._descriptors * _MANY_DESCRIPTORS:
            self._report(used)
        for _ in range(used - (self._descriptors - _FEW_DESCRIPTORS)):
            if not self._close_one():
                break

    def leave(self, connection: Occupant) -> None:
        self._open.discard(connection)

    def check(self, asking: Occupant, path: str) -> None:
        """Raises Overloaded where as many are served as may be, and this is no health check."""
        if len(self._open) <= self._limit or path in PROBES:
            return
        served = sum(c.standing in _BUSY for c in self._open if c is not asking)
        if served >= self._limit:
            raise Overloaded(
                f"{served} connections are being served, the limit; try again shortly."
            )

    def _close_one(self, new: Occupant | None = None) -> bool:
        """Of those that can best be spared, the one that waits for the longest."""
        for standing in _SPARED:
            found = [c for c in self._open if c is not new and c.standing == standing]
            if found:
                longest = min(found, key=lambda c: c.waiting_since)
                self._open.discard(longest)
                longest.transport.abort()
                return True
        return False

    def _report(self, used: int) -> None:
        """An error where few are left, a warning before."""
        assert self._descriptors is not None  # noqa: S101 - for the type checker
        few = used >= self._descriptors - _FEW_DESCRIPTORS
        if few:
            self._telemetry.descriptors_scarce.inc()
        now = time.monotonic()
        if now < self._logged_at.get(few, -_SCARCITY_LOGGED_EVERY) + _SCARCITY_LOGGED_EVERY:
            return
        self._logged_at[few] = now
        tell = log.error if few else log.warning
        tell(
            "descriptors_scarce",
            used=used,
            limit=self._descriptors,
            connections=len(self._open),
        )


def _open_files(limit: int) -> int:
    """All of them, where not even one more can be opened to count them."""
    try:
        return len(os.listdir(_OPEN_FILES))  # noqa: PTH208 # ten times as fast
    except FileNotFoundError:
        return 0
    except OSError:
        return limit
