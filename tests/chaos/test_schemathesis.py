"""The running server against its own OpenAPI document, by Schemathesis, with all its checks.

What is left out, and why, stands in schemathesis.toml. IMAGE_SERVICE_CHAOS_EXAMPLES says how
many requests each operation is fuzzed with; the seed is fixed, so that a run can be repeated.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.api.photos import PHOTO
from tests.e2e.conftest import COMMAND, started

SEED = 20261122
EXAMPLES = os.environ.get("IMAGE_SERVICE_CHAOS_EXAMPLES", "10")
UNLIMITED = {
    "IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute",
    "IMAGE_SERVICE_RATE_LIMIT_REQUESTS": "100000/second",
    "NO_PROXY": "*",
}
# DELETE apart, or there would soon be nothing left to look at; it comes back in the sequences.
RUNS = {
    "reads-and-writes": ["--exclude-method", "DELETE", "--phases", "examples,coverage,fuzzing"],
    "deletions": ["--include-method", "DELETE", "--phases", "examples,coverage,fuzzing"],
    "sequences": ["--phases", "stateful"],
}


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemathesis")


@pytest.fixture(scope="module")
def url(state_dir: Path) -> Iterator[str]:
    with started("dev", "--port", "0", "--state-dir", str(state_dir), **UNLIMITED) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running.wait_for(r"(http://\S+)/docs")[1]
        # Whatever the checks saw of it: nothing may have failed inside.
        failed = [line for line in running.output if re.search(r'"status": 5\d\d', line)]
        assert failed == []


@pytest.fixture(scope="module")
def token(state_dir: Path) -> str:
    command = [COMMAND, "token", "--user", "schemathesis", "--state-dir", str(state_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.e2e
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", RUNS)
def test_with_a_token(name: str, url: str, token: str, tmp_path: Path, repository_root: Path):
    headers = {"Authorization": f"Bearer {token}"}
    uploaded = httpx.post(
        f"{url}/images", headers=headers, files={"file": PHOTO}, trust_env=False, timeout=30
    )
    options = [*RUNS[name], "--header", f"Authorization: Bearer {token}"]
    checked(url, uploaded.json()["id"], options, tmp_path, repository_root)


@pytest.mark.e2e
@pytest.mark.timeout(0)
@pytest.mark.parametrize("acting", [True, False], ids=["for a user", "by itself"])
def test_as_a_machine(
    acting: bool, url: str, state_dir: Path, tmp_path: Path, repository_root: Path
):
    command = [COMMAND, "token", "--machine", "--state-dir", str(state_dir)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    headers = {"Authorization": f"Bearer {printed}", "On-Behalf-Of": "machines-user"}
    uploaded = httpx.post(
        f"{url}/images", headers=headers, files={"file": PHOTO}, trust_env=False, timeout=30
    )
    if not acting:
        del headers["On-Behalf-Of"]
    options = [f"--header={name}: {value}" for name, value in headers.items()]
    phases = [*RUNS["reads-and-writes"], *options]
    checked(url, uploaded.json()["id"], phases, tmp_path, repository_root)


@pytest.mark.e2e
@pytest.mark.timeout(0)
def test_without_a_token(url: str, tmp_path: Path, repository_root: Path):
    checked(url, "01KAR0F3WJ8P5V2D7QK9T4XZ6M", [], tmp_path, repository_root)


def checked(url: str, image_id: str, options: list[str], tmp_path: Path, root: Path) -> None:
    picture, report = tmp_path / "photo.jpg", tmp_path / "report.json"
    picture.write_bytes(PHOTO)
    config = Path(__file__).with_name("schemathesis.toml")
    command = [schemathesis(), "--config-file", str(config), "run", f"{url}/openapi.json"]
    bounds = ["--seed", str(SEED), "--max-examples", EXAMPLES, "--request-timeout", "40"]
    output = ["--no-color", "--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(
        [*command, *bounds, *output, "--continue-on-failure", *options],
        cwd=tmp_path,  # where it keeps what it learns
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "NO_PROXY": "*",
            "PICTURE": str(picture),
            "IMAGE_ID": image_id,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    found = json.loads(report.read_text())
    print(f"seed {SEED}: {found['test_cases']}")  # noqa: T201 - the figures of the run


def schemathesis() -> str:
    """Beside the interpreter, or on PATH; never a skip."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which("schemathesis", path=search)
    if found is None:
        pytest.fail("schemathesis is not installed", pytrace=False)
    return found
