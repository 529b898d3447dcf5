"""Engines of S3 and DynamoDB, a delaying proxy before each, and the issuer's keys."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.engines import dynamodb_client, dynamodb_local, s3_client, seaweedfs

from benchmarks.requests.processes import free_port, running
from image_service.devstack import stack
from image_service.devstack.aws import create_bucket, create_table
from image_service.devstack.emulator import running_emulator
from image_service.devstack.issuer import LocalIssuer

MEDIAN_MS = {"dynamodb": 4, "s3": 60}


@dataclass(frozen=True)
class Engines:
    """URLs of the proxies, and of the keys."""

    s3: str
    dynamodb: str
    jwks: str


@contextmanager
def running_engines(kind: str, issuer: LocalIssuer, folder: Path) -> Iterator[Engines]:
    """`kind` is "emulator", or "real": DynamoDB Local and SeaweedFS."""
    with ExitStack() as started:
        if kind == "emulator":
            s3 = dynamodb = started.enter_context(running_emulator())
        else:
            s3 = started.enter_context(seaweedfs())
            dynamodb = started.enter_context(dynamodb_local())
        asyncio.run(_provision(s3, dynamodb))
        yield Engines(
            s3=started.enter_context(_delayed("s3", s3, folder)),
            dynamodb=started.enter_context(_delayed("dynamodb", dynamodb, folder)),
            jwks=started.enter_context(_keys(issuer, folder)),
        )


async def _provision(s3: str, dynamodb: str) -> None:
    async with dynamodb_client(dynamodb) as table, s3_client(s3) as bucket:
        await create_table(table, stack.TABLE_NAME)
        await create_bucket(bucket, stack.BUCKET)


@contextmanager
def _delayed(service: str, endpoint: str, folder: Path) -> Iterator[str]:
    port, upstream = free_port(), urlsplit(endpoint).port
    command = [sys.executable, "-m", "benchmarks.latency.delays", str(port), str(upstream)]
    command += [str(MEDIAN_MS[service]), "1"]
    with running(service, command, port, {}, folder / f"{service}.log") as proxy:
        yield proxy.url


@contextmanager
def _keys(issuer: LocalIssuer, folder: Path) -> Iterator[str]:
    served = folder / "keys"
    served.mkdir()
    (served / "jwks.json").write_text(json.dumps(issuer.jwks()))
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    command += ["--directory", str(served)]
    with running("keys", command, port, {}, folder / "keys.log") as server:
        yield f"{server.url}/jwks.json"
