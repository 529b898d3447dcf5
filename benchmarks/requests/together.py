"""Reads beside uploads that keep every core encoding.

Hypothesis: reads stay under 50 ms at p99, and uploads reach 90 % of what the picture pipeline
does alone. Load: uploads of a 2 MP JPEG from twice as many connections as there are cores;
beside them two connections that read an image every 20 ms, and one that asks /health/live,
which nothing stands behind: how late that is answered is how late the event loop was. The
pipeline alone and the service take turns, on all cores. Load, stub and service share them:
the service yields to the others by `nice`, because those stand for other machines.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import documents, results
from benchmarks.requests import canned, operations, servers
from benchmarks.requests.operations import Operation
from benchmarks.requests.processes import Running, required
from image_service.devstack.issuer import LocalIssuer

_SCRIPT = Path(__file__).parent / "load.lua"
_YIELDING = ["nice", "-n", "5"]
_PAUSE_MS = "20"


@dataclass(frozen=True)
class Turn:
    """Pictures a second; milliseconds."""

    bare: float
    uploads: float
    read_p50: float
    read_p99: float
    read_alone_p99: float
    loop_p99: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        picture = folder / "picture.jpeg"
        picture.write_bytes(canned.jpeg())
        issuer = LocalIssuer.generate()
        tokens = operations.tokens(issuer)
        with (
            servers.backends(folder, issuer) as behind,
            servers.service(
                "service", behind, cached=False, python=options.python, before=_YIELDING
            ) as server,
        ):
            turns = []
            for number in range(options.rounds + 1):
                bare = _bare(picture, options)
                turn = _turn(server, tokens, folder, bare, options)
                print(turn, flush=True)
                turns += [turn] if number else []  # the first warms up
    _report(turns or [turn], options)


def _turn(
    server: Running, tokens: Sequence[str], folder: Path, bare: float, options: argparse.Namespace
) -> Turn:
    by_name = {operation.name: operation for operation in operations.operations()}
    live = Operation("live", "GET", ["/health/live"], 200)

    def load(operation: Operation, connections: int, *pause: str) -> subprocess.Popen[str]:
        host = server.url.removeprefix("http://")
        name = f"{operation.name.replace(' ', '-')}.requests"
        requests = operations.write(operation.requests(host, tokens), folder / name)
        command = [required("wrk", "apt-get install wrk"), "-t1", f"-c{connections}"]
        command += [f"-d{options.seconds}s", "--timeout", "30s", "-s", str(_SCRIPT), server.url]
        return subprocess.Popen(
            [*command, "--", str(requests), *pause], stdout=subprocess.PIPE, text=True
        )

    read = by_name["get, cache off"]
    alone = _said(load(read, 2, _PAUSE_MS))
    running = [
        load(by_name["post of 2 MP"], 2 * (os.cpu_count() or 1)),
        load(read, 2, _PAUSE_MS),
        load(live, 1, _PAUSE_MS),
    ]
    uploads, reads, loop = (_said(process) for process in running)
    return Turn(
        bare=bare,
        uploads=uploads["requests"] / uploads["seconds"],
        read_p50=reads["p50_ms"],
        read_p99=reads["p99_ms"],
        read_alone_p99=alone["p99_ms"],
        loop_p99=loop["p99_ms"],
    )


def _said(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    said: dict[str, float] = json.loads(output.splitlines()[-1])
    if said["refused"] or said["broken"]:
        raise SystemExit(f"not all were answered: {said}")
    return said


def _bare(picture: Path, options: argparse.Namespace) -> float:
    command = [options.python, "-m", "benchmarks.requests.bare", str(picture)]
    command += ["--seconds", str(options.seconds)]
    environment = os.environ | {"PYTHONPATH": f"{servers.ROOT}{os.pathsep}{servers.ROOT / 'src'}"}
    done = subprocess.run(
        [*_YIELDING, *command], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _report(turns: Sequence[Turn], options: argparse.Namespace) -> None:
    def median(name: str) -> float:
        return float(statistics.median(getattr(turn, name) for turn in turns))

    share = statistics.median(turn.uploads / turn.bare for turn in turns)
    figures = {
        "upload_share": share,
        "uploads_per_s": median("uploads"),
        "bare_per_s": median("bare"),
        "read_p50_ms": median("read_p50"),
        "read_p99_ms": median("read_p99"),
        "read_alone_p99_ms": median("read_alone_p99"),
        "loop_lag_p99_ms": median("loop_p99"),
    }
    rows = [
        ("uploads, of what the pipeline does alone", f"{share:.2f}", "at least 0.90"),
        ("uploads a second", f"{figures['uploads_per_s']:.1f}", ""),
        ("the pipeline alone, pictures a second", f"{figures['bare_per_s']:.1f}", ""),
        ("p99 of reads beside them, ms", f"{figures['read_p99_ms']:.1f}", "under 50"),
        ("p50 of reads beside them, ms", f"{figures['read_p50_ms']:.1f}", ""),
        ("p99 of reads alone, ms", f"{figures['read_alone_p99_ms']:.1f}", ""),
        ("p99 of the event loop's lag, ms", f"{figures['loop_lag_p99_ms']:.1f}", ""),
    ]
    table = documents.table(("", "measured", "goal"), rows)
    print(table)
    if not options.smoke:
        results.merge({"together": figures})
        documents.replace_block("together", f"{documents.conditions()}\n\n{table}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests.together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--python", default=sys.executable, help="that runs the service")
    parser.add_argument("--folder", help="where logs and requests are put while it runs")
    parser.add_argument("--smoke", action="store_true", help="one short turn, for breakage only")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds = 0, 4
    return options


if __name__ == "__main__":
    main()
