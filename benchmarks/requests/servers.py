"""The measured servers, and the back ends behind them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.requests import canned
from benchmarks.requests.processes import (
    Running,
    cores,
    free_port,
    pinned,
    required,
    running,
)
from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RIVAL_FOLDER = ROOT / ".cache" / "benchmarks" / "rival"
SERVE = "from image_service.__main__ import main; main()"


@dataclass(frozen=True)
class Backends:
    """What every server is pointed at; `endpoint` answers for DynamoDB, S3 and the JWKS."""

    endpoint: str
    redis: str
    folder: Path

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def backends(folder: Path, issuer: LocalIssuer) -> Iterator[Backends]:
    """The stub and an empty Redis, both away from the core of the measured server."""
    _, others = cores()
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps(issuer.jwks()))
    port, redis_port = free_port(), free_port()
    command = [sys.executable, "-m", "benchmarks.requests.stub"]
    command += ["--port", str(port), "--jwks", str(jwks)]
    redis = [required("redis-server", "apt-get install redis-server"), "--port", str(redis_port)]
    redis += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (
        running("stub", pinned(command, others), port, {}, folder / "stub.log") as stub,
        running("redis", pinned(redis, others), redis_port, {}, folder / "redis.log"),
    ):
        yield Backends(stub.url, f"redis://127.0.0.1:{redis_port}", folder)


@contextmanager
def service(
    name: str,
    behind: Backends,
    *,
    cached: bool,
    source: Path | None = None,
    python: str = sys.executable,
    before: Sequence[str] | None = None,
) -> Iterator[Running]:
    """`image-service serve`; of another source tree, or by another Python, where named.

    On a core of its own, unless `before` says what is to stand before the command instead.
    """
    port = free_port()
    environment = {
        **stack.aws_environment(behind.endpoint),
        "PYTHONPATH": str(source or ROOT / "src"),
        "IMAGE_SERVICE_STAGE": "bench",
        "IMAGE_SERVICE_TABLE_NAME": canned.TABLE,
        "IMAGE_SERVICE_BUCKET": canned.BUCKET,
        "IMAGE_SERVICE_CDN_BASE_URL": canned.CDN,
        "IMAGE_SERVICE_COGNITO_ISSUER": canned.ISSUER,
        "IMAGE_SERVICE_COGNITO_CLIENT_IDS": canned.CLIENT,
        "IMAGE_SERVICE_JWKS_URL": f"{behind.endpoint}/jwks.json",
        "IMAGE_SERVICE_RATE_LIMIT_REQUESTS": "1000000/second",
        "IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "1000000/minute",
        "IMAGE_SERVICE_RENDITION_WIDTHS": "",  # the original design has none
        "IMAGE_SERVICE_USER_SHARE": "1",  # all requests are one user's
        "IMAGE_SERVICE_DRAIN_SECONDS": "0",
        "IMAGE_SERVICE_PORT": str(port),
        "IMAGE_SERVICE_REDIS_URL": behind.redis if cached else "",
    }
    command = [python, "-c", SERVE, "serve"]
    command = pinned(command, cores()[0]) if before is None else [*before, *command]
    with running(name, command, port, environment, behind.log(name)) as started:
        yield started


@contextmanager
def rival(
    name: str, behind: Backends, *, cached: bool, settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """The Node.js server, doing the same on the same back ends."""
    port = free_port()
    aws = stack.aws_environment(behind.endpoint)
    environment = {
        **aws,
        "AWS_ENDPOINT_URL": behind.endpoint,
        "NODE_ENV": "production",
        "PORT": str(port),
        "TABLE": canned.TABLE,
        "BUCKET": canned.BUCKET,
        "CDN_BASE_URL": canned.CDN,
        "ISSUER": canned.ISSUER,
        "CLIENT_ID": canned.CLIENT,
        "JWKS_URL": f"{behind.endpoint}/jwks.json",
        "REDIS_URL": f"{behind.redis}/1" if cached else "",
        **(settings or {}),
    }
    node = required("node", "install Node.js, 20.9 or newer")
    command = pinned([node, str(RIVAL_FOLDER / "server.mjs")], cores()[0])
    with running(name, command, port, environment, behind.log(name)) as started:
        yield started


def install_rival() -> None:
    """Into .cache, once a version of its package.json; the sources are copied each time."""
    RIVAL_FOLDER.mkdir(parents=True, exist_ok=True)
    for source in (HERE / "rival").iterdir():
        shutil.copy2(source, RIVAL_FOLDER)
    wanted = hashlib.sha256((RIVAL_FOLDER / "package.json").read_bytes()).hexdigest()
    mark = RIVAL_FOLDER / ".installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    npm = required("npm", "install Node.js with npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(command, cwd=RIVAL_FOLDER, check=True)
    mark.write_text(wanted)
