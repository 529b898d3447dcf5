"""Scores of all saved outputs, on all cores."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.pictures.engines import EQUAL_PIPELINES, PILLOW, PIPELINES, SERVICE, THUMBOR
from benchmarks.pictures.quality import Reference

Scores = dict[str, dict[str, dict[str, float]]]  # {engine: {metric: {rendition: score}}}
_THOROUGHLY = (SERVICE, PIPELINES)
_NAMES = (SERVICE, PIPELINES, EQUAL_PIPELINES, PILLOW, THUMBOR)


class _Job(NamedTuple):
    file: Path
    outputs: Path
    thorough: bool


def score(files: dict[str, Path], outputs: Path, *, thorough: bool) -> dict[str, Scores]:
    """By picture. SSIMULACRA2, which takes seconds, only if `thorough`, and of two engines."""
    jobs = [_Job(file, outputs, thorough) for file in files.values()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(_score_one, jobs), strict=True))


def _score_one(job: _Job) -> Scores:
    reference = Reference(job.file)
    scores: Scores = {}
    for name in _NAMES:
        made = {
            spec.name: (job.outputs / f"{name}.{job.file.name}.{spec.name}.webp").read_bytes()
            for spec in reference.specs
        }
        scores[name] = {"ssim": reference.ssim(made)}
        if job.thorough and name in _THOROUGHLY:
            scores[name]["ssimulacra2"] = reference.ssimulacra2(made)
    return scores
