"""results.json, which several benchmarks write a section of each, and the machine they ran on.

A section is one flat name ("pipeline", "get", "soak") with its figures; writing it replaces
that section and leaves the others as they are. Each carries when and where it was measured,
because not all are measured in one run.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


def path() -> Path:
    """The file: what BENCH_RESULTS names, else the committed one.

    A trial run (`make bench-smoke`) must not overwrite the figures of a real one.
    """
    return Path(os.environ.get("BENCH_RESULTS", RESULTS))


def merge(sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Put `sections` into the file, with the machine and the date in each."""
    file = path()
    merged = json.loads(file.read_text()) if file.exists() else {}
    measured = {"date": now(), "machine": machine()}
    for name, figures in sections.items():
        merged[name] = {**_rounded(figures), "measured": measured}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(merged, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")


def machine() -> dict[str, Any]:
    """What the figures depend on; no host name."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    """As the kernel names it; Linux only, elsewhere what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _rounded(value: Any) -> Any:
    """Floats to four digits, at any depth: more are noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
