"""Scores of all saved outputs, on all cores."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.pictures.engines import DEFAULT, SERVICE
from benchmarks.pictures.quality import Reference

Scores = dict[str, dict[str, dict[str, float]]]  # {engine: {metric: {"main" | "thumbnail": …}}}


class _Job(NamedTuple):
    file: Path
    outputs: Path
    names: list[str]
    thorough: bool


def score(
    files: dict[str, Path], outputs: Path, names: list[str], *, thorough: bool
) -> dict[str, Scores]:
    """By picture. SSIMULACRA2, which takes seconds, only if `thorough`, and of two engines."""
    jobs = [_Job(file, outputs, names, thorough) for file in files.values()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(_score_one, jobs), strict=True))


def _score_one(job: _Job) -> Scores:
    reference = Reference(job.file.read_bytes())
    scores: Scores = {}
    for name in job.names:
        made = [
            (job.outputs / f"{name}.{job.file.name}.{output}.webp").read_bytes()
            for output in ("main", "thumbnail")
        ]
        scores[name] = {"ssim": reference.ssim(*made)}
        if job.thorough and name in (SERVICE, DEFAULT):
            scores[name]["ssimulacra2"] = reference.ssimulacra2(*made)
    return scores
