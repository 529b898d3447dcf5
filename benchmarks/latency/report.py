"""The tables of the latencies in docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks import documents
from benchmarks.latency.load import BESIDE, UPLOADS

_OPERATIONS = (UPLOADS, *BESIDE)
_GOAL_MS = 1000
_POLICY = Path(__file__).parents[2] / "terraform" / "modules" / "service" / "main.tf"
Measured = dict[str, dict[str, Any]]  # by table of renditions, by uploads per second


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds, and of how many."""
    cuts = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else list(seconds) * 19
    return {"p50_ms": cuts[9] * 1000, "p95_ms": cuts[18] * 1000, "count": len(seconds)}


def write(measured: Measured) -> None:
    text = (
        f"{documents.conditions()}\n\nP50 / P95, ms:\n\n{tables(measured)}\n\n{carried(measured)}"
    )
    documents.replace_block("latency", text)


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


def carried(measured: Measured) -> str:
    """What a CPU carries within the goal, and whether Terraform's policy acts before that."""
    lines = []
    for table, by_rate in measured.items():
        loaded = [figures for figures in by_rate.values() if UPLOADS in figures]
        within = [each for each in loaded if each[UPLOADS]["p95_ms"] <= _GOAL_MS]
        if not within:
            lines.append(f"With {table}, none of these rates stays within {_GOAL_MS:,} ms at P95.")
            continue
        most = max(within, key=lambda each: each["rate"])
        lines.append(
            f"With {table}, {most['rate']:g} uploads per second is the highest of these rates "
            f"whose P95 stays within {_GOAL_MS:,} ms; the core is {most['busy']:.0%} busy then."
        )
    return "\n".join([*lines, f"Terraform's policy adds tasks above {_target():.0%}."])


def _target() -> float:
    found = re.search(r"ECSServiceAverageCPUUtilization\", value = (\d+)", _POLICY.read_text())
    if not found:
        raise RuntimeError(f"{_POLICY} has no target for CPU")
    return int(found[1]) / 100


def _pair(figures: dict[str, float] | None) -> str:
    return f"{figures['p50_ms']:,.0f} / {figures['p95_ms']:,.0f}" if figures else ""
