"""Mutants for the processor itself: each becomes an image or is refused, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# What a cache, an arena or a log may keep; a leak of one header a file would soon be more.
GROWTH = 32 * 2**20
LEAST = 50  # files; fewer prove nothing, however slow the machine


@pytest.mark.timeout(0)
def test_no_mutant_crashes_hangs_or_leaks(
    seed: int, seconds: float, repository_root: Path, capsys: pytest.CaptureFixture[str]
):
    command = [sys.executable, "-m", "tests.fuzz.worker", "--seed", str(seed)]
    run = subprocess.run(  # noqa: PLW1510 - how it ended is looked at below
        [*command, "--seconds", str(seconds)],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=seconds + 120,
    )
    last = run.stderr.strip().rpartition("\n")[2]
    again = f"{' '.join(command[1:])} --only"
    assert run.returncode == 0, (
        f"crashed ({run.returncode}); again: {again} …\n{run.stderr[-1000:]}"
    )
    report = json.loads(run.stdout)
    with capsys.disabled():
        print(f"\nseed {seed}: {report}", end=" ")  # noqa: T201 - the figures of the run
    assert report["bad"] == {}, f"again: {again} NUMBER (the last was {last})"
    assert report["files"] >= LEAST
    assert report["end_bytes"] - report["warm_bytes"] < GROWTH
