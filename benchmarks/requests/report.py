"""The figures on the screen, in results.json and in docs/benchmarks.md."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from benchmarks import documents, results
from benchmarks.requests.contenders import RIVAL, RIVAL_WITH_TOKENS, SERVICE
from benchmarks.requests.rounds import Samples, medians, ratio

_CALM: Final = 0.9  # of a core; below it others had a part of it

# Section and figure in results.json: operation, what is compared.
_RATIOS: Final = {
    ("get", "db_cpu_ratio"): ("get, cache off", "cpu_us"),
    ("get", "hit_cpu_ratio"): ("get, cache hit", "cpu_us"),
    ("get", "p99_ratio"): ("get, cache off", "p99_ms"),
    ("get", "hit_p99_ratio"): ("get, cache hit", "p99_ms"),
    ("get", "gzip_cpu_ratio"): ("get, gzip", "cpu_us"),
    ("list", "db_cpu_ratio"): ("list of 20", "cpu_us"),
    ("list", "gzip_cpu_ratio"): ("list of 20, gzip", "cpu_us"),
    ("list", "p99_ratio"): ("list of 20", "p99_ms"),
    ("patch", "cpu_ratio"): ("patch", "cpu_us"),
    ("patch", "p99_ratio"): ("patch", "p99_ms"),
    ("delete", "cpu_ratio"): ("delete", "cpu_us"),
    ("delete", "p99_ratio"): ("delete", "p99_ms"),
    ("post", "cpu_ratio"): ("post of 2 MP", "cpu_us"),
    ("post", "p99_ratio"): ("post of 2 MP", "p99_ms"),
}


def show(operation: str, samples: Samples) -> None:
    base = next(iter(samples))
    for name, rounds in samples.items():
        row = medians(rounds)
        disturbed = "" if row.busy >= _CALM else f"  DISTURBED: had {row.busy:.0%} of its core"
        print(
            f"{operation:17} {name:21} {row.requests_per_s:6.0f}/s {row.cpu_us:7.0f} us CPU"
            f"  p50 {row.p50_ms:6.2f}  p95 {row.p95_ms:6.2f}  p99 {row.p99_ms:6.2f} ms"
            f"  CPU x{ratio(samples, name, base, 'cpu_us'):.2f}"
            f"  p99 x{ratio(samples, name, base, 'p99_ms'):.2f}{disturbed}",
            flush=True,
        )


def write(all_samples: Mapping[str, Samples], options: argparse.Namespace) -> None:
    sections = _sections(all_samples, options)
    results.merge(sections)
    documents.replace_block("requests", _text(all_samples, sections))


def _sections(
    all_samples: Mapping[str, Samples], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for (section, figure), (operation, what) in _RATIOS.items():
        value = ratio(all_samples[operation], SERVICE, RIVAL, what)
        sections.setdefault(section, {})[figure] = value
    # The original design has no cache in its first form: what Redis saves beside that.
    hit = medians(all_samples["get, cache hit"][SERVICE]).cpu_us
    read = medians(all_samples["get, cache off"][RIVAL]).cpu_us
    sections["get"]["hit_cpu_ratio_to_db_read"] = hit / read
    sections["requests"] = {
        "connections": options.connections,
        "versions": _versions(options.python),
        "rows": {
            operation: {name: asdict(medians(rounds)) for name, rounds in samples.items()}
            for operation, samples in all_samples.items()
        },
    }
    return sections


def _versions(python: str) -> dict[str, str]:
    code = (
        "import platform, importlib.metadata as m\n"
        "print(platform.python_version(), m.version('aiobotocore'), m.version('fastapi'))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    service, aiobotocore, fastapi = said.stdout.split()
    return {
        "python": service,
        "aiobotocore": aiobotocore,
        "fastapi": fastapi,
        "node": node.stdout.strip(),
    }


def _text(all_samples: Mapping[str, Samples], sections: Mapping[str, Mapping[str, Any]]) -> str:
    versions = ", ".join(f"{n} {v}" for n, v in sections["requests"]["versions"].items())
    head = ("operation", "server", "requests/s", "CPU us", "p50 ms", "p95 ms", "p99 ms")
    ratios = ("CPU, of the rival's", "p99, of the rival's")
    rows = [
        _row(operation, name, samples)
        for operation, samples in all_samples.items()
        for name in (SERVICE, RIVAL, RIVAL_WITH_TOKENS)
    ]
    return f"{documents.conditions()} Versions: {versions}.\n\n" + documents.table(
        (*head, *ratios), rows
    )


def _row(operation: str, name: str, samples: Samples) -> tuple[str, ...]:
    row = medians(samples[name])
    return (
        operation,
        name,
        f"{row.requests_per_s:.0f}",
        f"{row.cpu_us:.0f}",
        *(f"{value:.1f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        *(f"{ratio(samples, name, RIVAL, what):.2f}" for what in ("cpu_us", "p99_ms")),
    )
