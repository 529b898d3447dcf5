"""Requests a second and CPU a request, against a Node.js server doing the same.

Hypothesis: a cached read takes at most 0.40 of the rival's CPU, one from DynamoDB no more than
the rival's, and neither do writes. Load: wrk, `--connections` at once, each server alone on one
core, everything else on the others; servers take turns, medians of `--rounds`. The back ends
are a stub that answers at once and a real Redis, so that what is measured is the server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.requests import operations, report, servers
from benchmarks.requests.checks import same_answers
from benchmarks.requests.contenders import contenders
from benchmarks.requests.rounds import Samples, measure
from image_service.devstack.issuer import LocalIssuer


def main() -> None:
    options = _options()
    if not options.without_rival:
        servers.install_rival()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        all_samples = _run(options, Path(scratch))
    if not (options.only or options.without_rival):
        report.write(all_samples, options)


def _run(options: argparse.Namespace, folder: Path) -> dict[str, Samples]:
    issuer = LocalIssuer.generate()
    tokens = operations.tokens(issuer)
    all_samples = {}
    with servers.backends(folder, issuer) as behind, contenders(behind, options) as all_:
        for operation in _chosen(options):
            if not options.unchecked:
                same_answers(operation, [one.for_(operation) for one in all_], tokens)
            samples = measure(operation, all_, tokens, folder, options)
            report.show(operation.name, samples)
            all_samples[operation.name] = samples
    return all_samples


def _chosen(options: argparse.Namespace) -> list[operations.Operation]:
    return [
        operation
        for operation in operations.operations()
        if not options.only or any(part in operation.name for part in options.only)
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=4, help="of one run")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pause", type=float, default=0, help="seconds after each run")
    parser.add_argument("--only", action="append", help="operations whose name has this")
    parser.add_argument("--python", default=sys.executable, help="that runs the service")
    parser.add_argument("--source", type=Path, help="the service's source tree, if not this one")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=SRC",
        help="the service from another source tree, to compare in the same run",
    )
    parser.add_argument("--without-rival", action="store_true")
    parser.add_argument("--unchecked", action="store_true", help="don't compare the answers")
    parser.add_argument("--folder", help="where logs and requests are put while it runs")
    parser.add_argument("--smoke", action="store_true", help="seconds, for breakage only")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds, options.warm_up = 1, 1, 1
        options.only = options.only or ["get, cache", "patch"]
    return options


if __name__ == "__main__":
    main()
