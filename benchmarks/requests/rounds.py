"""Turn by turn: each server a moment, round after round."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.requests import operations
from benchmarks.requests.contenders import Contender
from benchmarks.requests.load import Figures, put_load
from benchmarks.requests.operations import Operation

Samples = Mapping[str, Sequence[Figures]]
"""Of one operation: by contender, one a round."""


def measure(
    operation: Operation,
    contenders: Sequence[Contender],
    tokens: Sequence[str],
    folder: Path,
    options: argparse.Namespace,
) -> Samples:
    """After a round that warms up: caches, connections and Node's compiler."""
    samples: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for round_ in range(options.rounds + 1):
        for contender in contenders:
            server = contender.for_(operation)
            host = server.url.removeprefix("http://")
            path = folder / f"{operation.name.replace(' ', '-')}.requests"
            requests = operations.write(operation.requests(host, tokens), path)
            seconds = options.seconds if round_ else options.warm_up
            connections = options.connections
            if operation.slow:
                seconds, connections = 2 * seconds, max(1, connections // 4)
            figures = put_load(server, requests, seconds=seconds, connections=connections)
            if round_:
                samples[contender.name].append(figures)
            time.sleep(options.pause)
    return samples


def medians(samples: Sequence[Figures]) -> Figures:
    names = [field.name for field in dataclasses.fields(Figures)]
    return Figures(
        **{name: statistics.median(getattr(sample, name) for sample in samples) for name in names}
    )


def ratio(samples: Samples, name: str, base: str, what: str) -> float:
    """The median of the rounds' ratios: what disturbs a round disturbs both."""
    pairs = zip(samples[name], samples[base], strict=True)
    return float(
        statistics.median(getattr(one, what) / getattr(other, what) for one, other in pairs)
    )
