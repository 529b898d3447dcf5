"""The service's pipeline beside its rivals, over a corpus of photographs.

    python -m benchmarks.pictures            half an hour on an idle machine
    python -m benchmarks.pictures --quick    a minute, to see that it works

Hypothesis: one decode for the main picture, the square and three widths costs at most 0.45 of what
the better of sharp's two ways to make the same files takes at its default effort, at most 0.75 at
equal effort, at most 1.5 of two files, and not much more than the codecs alone. Engines take
turns picture by picture and round by round; the first round warms up; figures are medians. CPU
time is what holds on a busy machine.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import results
from benchmarks.pictures import corpus, engines, figures, report, scoring

OUTPUTS = corpus.CACHE.parent / "outputs"


def measure(files: dict[str, Path], rounds: int) -> dict[str, Any]:
    """{"one": {picture: {engine: median answer}}, "bound": {picture: CPU ms}, "about": …}."""
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    one: dict[str, dict[str, Any]] = {}
    bound: dict[str, Any] = {}
    with engines.all_engines() as running, engines.codecs() as bare:
        for picture, file in files.items():
            print(picture, flush=True)
            answers, codecs = defaultdict(list), []
            for turn in range(rounds + 1):
                for name in _rotated(list(running), turn):
                    answer = running[name].ask(
                        "one",
                        file=str(file),
                        outputs=engines.asked(name, file),
                        save=str(OUTPUTS / f"{name}.{picture}"),
                    )
                    if turn:
                        answers[name].append(answer)
                codecs.append(bare.ask("bound", file=str(file)))
            one[picture] = {name: figures.medians(list_) for name, list_ in answers.items()}
            bound[picture] = figures.fastest(codecs[1:])
        about = {name: engine.ask("about") for name, engine in running.items()}
    return {"one": one, "bound": bound, "about": about}


def throughput(files: dict[str, Path], seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Pictures per second: {engine: {"one worker" | "all cores": rate}}; sharp's own threads."""
    loads = {"one worker": 1, "all cores": os.cpu_count() or 1}
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with engines.all_engines(concurrency=0) as running:
        for _ in range(rounds):
            for load, parallel in loads.items():
                for name, engine in running.items():
                    asked = [
                        {"file": str(file), "outputs": engines.asked(name, file)}
                        for file in files.values()
                    ]
                    answer = engine.ask(
                        "throughput", files=asked, seconds=seconds, parallel=parallel
                    )
                    rates[name][load].append(answer["per_second"])
                    print(f"{name}, {load}: {answer['per_second']:.2f} pictures/s", flush=True)
    return {
        name: {load: median(found) for load, found in row.items()} for name, row in rates.items()
    }


def _rotated(names: list[str], turn: int) -> list[str]:
    """Nobody is always first, nor always behind the same neighbour's cold caches."""
    by = turn % len(names)
    return names[by:] + names[:by]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20, help="of each throughput run")
    parser.add_argument("--only", nargs="+", choices=corpus.KINDS, help="pictures")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1
    files = corpus.build(corpus.QUICK if options.quick else options.only)
    measured = measure(files, options.rounds)
    rates = throughput(files, options.seconds, 1 if options.quick else 3)
    print("scoring", flush=True)
    scores = scoring.score(files, OUTPUTS, thorough=not options.quick)
    section = figures.section(measured, rates, scores)
    section["load"] = {"rounds": options.rounds, "throughput_seconds": options.seconds}
    results.merge({"pipeline": section})
    report.write(section)
    print({key: value for key, value in section.items() if isinstance(value, float)})


if __name__ == "__main__":
    main()
