"""The health of the outside systems."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from image_service.ports import HealthProbe

log = structlog.stdlib.get_logger(__name__)

CheckStatus = Literal["up", "down", "disabled"]
OverallStatus = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one system; `latency_ms` is None where it was not asked."""

    status: CheckStatus
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    status: OverallStatus
    checks: Mapping[str, Check]


class HealthService:
    """Caller of every probe at once; results are kept for a second, so that callers can't add load.

    A required system that is down makes the whole unhealthy, an optional one degraded; an
    optional one that is not configured has no probe and reads `disabled`.
    """

    def __init__(
        self,
        *,
        required: Sequence[HealthProbe],
        optional: Mapping[str, HealthProbe | None],
        timeout: float = 1.0,
        keep: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._required = {probe.name: probe for probe in required}
        self._optional = optional
        self._timeout = timeout
        self._keep = keep
        self._clock = clock
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._fresh_until = 0.0

    async def report(self) -> Report:
        async with self._lock:  # one round of probes at a time, shared by all who wait
            if self._report is None or self._clock() >= self._fresh_until:
                self._report = await self._probe_all()
                self._fresh_until = self._clock() + self._keep
            return self._report

    async def _probe_all(self) -> Report:
        probes: dict[str, HealthProbe | None] = {**self._required, **self._optional}
        results = await asyncio.gather(*(self._probe(probe) for probe in probes.values()))
        checks = dict(zip(probes, results, strict=True))
        if any(checks[name].status == "down" for name in self._required):
            return Report("unhealthy", checks)
        if any(check.status == "down" for check in checks.values()):
            return Report("degraded", checks)
        return Report("healthy", checks)

    async def _probe(self, probe: HealthProbe | None) -> Check:
        if probe is None:
            return Check("disabled")
        started = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                await probe.ping()
            status: CheckStatus = "up"
        except Exception:
            log.warning("health_probe_failed", system=probe.name, exc_info=True)
            status = "down"
        return Check(status, round((self._clock() - started) * 1000, 1))
