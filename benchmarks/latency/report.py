"""The tables of the latencies in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from benchmarks import documents
from benchmarks.latency.load import BESIDE, UPLOADS

_OPERATIONS = (UPLOADS, *BESIDE)
Measured = dict[str, dict[str, Any]]  # by table of renditions, by uploads per second


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds, and of how many."""
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else list(seconds) * 19
    return {"p50_ms": cuts[9] * 1000, "p95_ms": cuts[18] * 1000, "count": len(seconds)}


def write(measured: Measured) -> None:
    documents.replace_block("latency", f"{documents.conditions()}\n\n{tables(measured)}")


def tables(measured: Measured) -> str:
    """P50 / P95 in milliseconds, by rate; and how busy the core was."""
    head = ("uploads per second", *_OPERATIONS, "refused", "core busy")
    rows = [
        (
            f"{rate}, {table}",
            *(_pair(figures.get(operation)) for operation in _OPERATIONS),
            str(sum(figures["refused"].values())),
            f"{figures['busy']:.0%}",
        )
        for table, by_rate in measured.items()
        for rate, figures in by_rate.items()
    ]
    return documents.table(head, rows)


def _pair(figures: dict[str, float] | None) -> str:
    return f"{figures['p50_ms']:,.0f} / {figures['p95_ms']:,.0f}" if figures else ""
