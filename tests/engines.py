"""Real engines for the contract and race suites, on loopback and free ports.

By default the suites run on the emulator that `image-service dev` uses, those of S3 and
CloudFront on moto too; with IMAGE_SERVICE_TEST_ENGINES=real also on Amazon's DynamoDB Local
and on SeaweedFS.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import pytest
from tests.ports import free_port

from image_service.adapters.aws.clients import aws_client

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront.client import CloudFrontClient
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client

# Each is the name of the fixture that starts it, once a run, or once a worker of it.
EMULATOR = "emulator"
MOTO = "moto"
DYNAMODB_LOCAL = "dynamodb_local"
SEAWEEDFS = "seaweedfs"

_JAR_DIRECTORY = Path(__file__).parent.parent / ".cache" / "dynamodb-local"
_START_SECONDS = 180


def engines(real: str) -> list[str]:
    """What a suite is to run on; `real` names the real engine of its kind."""
    wanted = os.environ.get("IMAGE_SERVICE_TEST_ENGINES", "")
    if wanted not in {"", "real"}:
        raise RuntimeError(f"IMAGE_SERVICE_TEST_ENGINES is {wanted!r}; only 'real' is known")
    return [EMULATOR, real] if wanted else [EMULATOR]


@contextmanager
def moto_server() -> Iterator[str]:
    """moto, a second opinion on S3, CloudFront and Cognito; yields its endpoint URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, f"http://127.0.0.1:{port}/moto-api/", cwd=Path.cwd()) as url:
        yield url.removesuffix("/moto-api/")


@contextmanager
def cognito_server() -> Iterator[str]:
    """The emulator's Cognito, which has the token endpoint that moto's lacks; yields its URL."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "ministack.app:app", *options]
    with tempfile.TemporaryDirectory() as directory:  # where it keeps its key
        settings = {"SERVICES": "cognito-idp", "PERSIST_STATE": "0", "STATE_DIR": directory}
        with _running(
            command, f"http://127.0.0.1:{port}", cwd=Path(directory), env=os.environ | settings
        ) as url:
            yield url


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Amazon's DynamoDB Local, in memory; yields its endpoint URL.

    It can't be told to listen on loopback only.
    """
    java = _require("java", shutil.which("java"), "install a Java runtime, 17 or newer")
    jar = _JAR_DIRECTORY / "DynamoDBLocal.jar"
    _require(jar.name, str(jar) if jar.is_file() else None, "run tests/fetch_dynamodb_local.sh")
    port = free_port()
    command = [java, "-Djava.library.path=./DynamoDBLocal_lib", "-jar", jar.name]
    options = ["-inMemory", "-disableTelemetry", "-port", str(port)]
    with _running([*command, *options], f"http://127.0.0.1:{port}", cwd=_JAR_DIRECTORY) as url:
        yield url


@contextmanager
def seaweedfs() -> Iterator[str]:
    """SeaweedFS with its S3 gateway, data in a folder that goes; yields its endpoint URL."""
    beside_python = str(Path(sys.executable).parent)
    weed = shutil.which("weed", path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
    weed = _require("weed", weed, "install requirements/integration.txt")
    port = free_port()
    ports = {
        "s3.port": port,
        **{
            f"{part}.port{kind}": free_port()
            for part in ("master", "volume", "filer", "s3")
            for kind in ("", ".grpc")
            if (part, kind) != ("s3", "")
        },
        "s3.port.iceberg": 0,  # off
        "s3.port.lance": 0,  # off
    }
    with tempfile.TemporaryDirectory() as directory:
        options = [f"-{name}={value}" for name, value in ports.items()]
        address = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={directory}", "-s3"]
        # A bucket takes up to seven volumes as it gets its first object.
        small = ["-volume.max=32", "-master.volumeSizeLimitMB=64", "-s3.iam=false"]
        command = [weed, "-logtostderr", "server", *address, *small, *options]
        secret = os.environ | {"WEED_S3_SSE_KEY": "without-one-it-encrypts-nothing"}
        try:
            with _running(
                command, f"http://127.0.0.1:{port}", cwd=Path(directory), env=secret
            ) as url:
                yield url
        finally:
            for used in ports.values():  # its sockets are there, wherever its data are
                for left in Path("/tmp").glob(f"seaweedfs-*-{used}.sock"):
                    left.unlink()


@asynccontextmanager
async def dynamodb_client(endpoint: str, read_timeout: float = 10) -> AsyncIterator[DynamoDBClient]:
    async with _client("dynamodb", endpoint, read_timeout) as client:
        yield client


@asynccontextmanager
async def s3_client(endpoint: str, read_timeout: float = 10) -> AsyncIterator[S3Client]:
    async with _client("s3", endpoint, read_timeout) as client:
        yield client


@asynccontextmanager
async def cognito_client(endpoint: str) -> AsyncIterator[Any]:  # no stubs are installed for it
    async with _client("cognito-idp", endpoint) as client:
        yield client


def _client(service: str, endpoint: str, read_timeout: float = 10) -> Any:
    session = aioboto3.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1"
    )
    return aws_client(session, service, read_timeout=read_timeout, endpoint_url=endpoint)


def _require(name: str, path: str | None, remedy: str) -> str:
    """Never a skip: who asks for the real engines is to be told that they did not run."""
    if path is None:
        pytest.fail(f"the real engines need {name}: {remedy}", pytrace=False)
    return path


@contextmanager
def _running(
    command: list[str], url: str, *, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _wait_until_answering(process, url)
            yield url
        except _NotStarted:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-2_000:]
            pytest.fail(f"{Path(command[0]).name} did not start:\n{tail}", pytrace=False)
        finally:
            process.kill()  # nothing of it is kept, and SeaweedFS takes 15 s to say goodbye
            process.wait()


class _NotStarted(Exception):
    """The process ended, or did not answer in time."""


def _wait_until_answering(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            if answer.code < 500:  # a refusal is an answer
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.1)
    raise _NotStarted


@asynccontextmanager
async def cloudfront_client(
    endpoint: str, read_timeout: float = 10
) -> AsyncIterator[CloudFrontClient]:
    async with _client("cloudfront", endpoint, read_timeout) as client:
        yield client


async def create_distribution(client: CloudFrontClient) -> str:
    """The least that CloudFront takes; its id."""
    answer = await client.create_distribution(
        DistributionConfig={
            "CallerReference": "tests",
            "Comment": "tests",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "bucket",
                        "DomainName": "bucket.s3.amazonaws.com",
                        "S3OriginConfig": {"OriginAccessIdentity": ""},
                    }
                ],
            },
            "DefaultCacheBehavior": {
                "TargetOriginId": "bucket",
                "ViewerProtocolPolicy": "redirect-to-https",
            },
        }
    )
    return answer["Distribution"]["Id"]
