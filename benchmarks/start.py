"""The time a new task takes to serve: from exec of `image-service serve` to its first 200.

Hypothesis: imports are most of it, and it stays under 2 s. Polls /health/ready every 5 ms;
median over `--rounds`, on the embedded emulator. Python's compiled files and the page cache
are warm, as in a container whose image is on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import documents, results
from benchmarks.serving import server
from image_service.devstack import stack
from image_service.devstack.emulator import started_emulator
from image_service.devstack.state import held


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds, cpu = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        held(Path(folder)) as state,
        started_emulator() as emulator,
    ):
        environment = stack.local_stack(state, emulator)
        for _ in range(options.rounds):
            with server(environment) as running:
                seconds.append(running.start_seconds)
                cpu.append(running.start_cpu_seconds)
            print(f"ready after {seconds[-1]:.2f} s, {cpu[-1]:.2f} s of CPU", flush=True)
    figures = {
        "cold_s": median(seconds),
        "least_s": min(seconds),
        "most_s": max(seconds),
        "cpu_s": median(cpu),
    }
    results.merge({"start": figures})
    row = [f"{value:.2f}" for value in figures.values()]
    head = ("cold start, s", "median", "least", "most", "CPU")
    text = documents.table(head, [("exec to the first 200 of /health/ready", *row)])
    documents.replace_block("start", f"{documents.conditions()}\n\n{text}")


if __name__ == "__main__":
    main()
