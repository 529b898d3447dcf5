"""The set-up step of docker-compose, as it is run: a process with the service's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import engines
from tests.integration.table import Table
from tests.integration.world import World

from image_service.devstack import stack
from image_service.devstack.emulator import running_emulator
from image_service.devstack.issuer import LocalIssuer
from image_service.devstack.provision import endpoint_of

USER = "auth0|a.b@c:d"


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """One of its own: the keys of an issuer lie there, and others' tokens go by those."""
    with running_emulator() as endpoint:
        yield endpoint


def provision(
    endpoint: str, state_dir: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            *("-m", "image_service.devstack.provision", "--state-dir", str(state_dir)),
        ],
        env=os.environ | stack.aws_environment(endpoint) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def names(unique: str) -> dict[str, str]:
    return {
        "IMAGE_SERVICE_TABLE_NAME": f"Provisioned-{unique}",
        "IMAGE_SERVICE_BUCKET": f"provisioned-{unique}".lower(),
    }


def published_keys(emulator: str) -> dict[str, object]:
    location = stack.service_environment(emulator)["IMAGE_SERVICE_JWKS_URL"]
    with urllib.request.urlopen(location) as answer:  # without credentials, as the service does
        keys: dict[str, object] = json.load(answer)
    return keys


async def test_it_makes_all_that_the_service_needs_and_twice_changes_nothing(
    emulator: str, names: dict[str, str], tmp_path: Path
) -> None:
    state_dir = tmp_path / "issuer"

    first = provision(emulator, state_dir, **names)
    assert first.returncode == 0, first.stderr
    key = (state_dir / "issuer-key.pem").read_bytes()
    keys = published_keys(emulator)
    assert keys == LocalIssuer.load_or_create(state_dir).jwks()

    table_name, bucket = names.values()
    async with engines.dynamodb_client(emulator) as dynamodb, engines.s3_client(emulator) as s3:
        world = World(Table(dynamodb, table_name), s3, bucket)
        image = await world.upload(USER)

        again = provision(emulator, state_dir, **names)
        assert again.returncode == 0, again.stderr

        assert await world.repository.get(image.id) == image
        assert await world.files() == set(image.object_keys)
    assert (state_dir / "issuer-key.pem").read_bytes() == key
    assert published_keys(emulator) == keys


async def test_without_names_it_makes_the_local_stack_s(emulator: str, tmp_path: Path) -> None:
    made = provision(emulator, tmp_path)

    assert made.returncode == 0, made.stderr
    assert stack.TABLE_NAME in made.stdout
    async with engines.dynamodb_client(emulator) as dynamodb, engines.s3_client(emulator) as s3:
        await dynamodb.describe_table(TableName=stack.TABLE_NAME)
        await s3.head_bucket(Bucket=stack.BUCKET)


def test_a_key_file_that_is_none_is_said(emulator: str, tmp_path: Path) -> None:
    (tmp_path / "issuer-key.pem").write_text("a holiday picture")

    refused = provision(emulator, tmp_path)

    assert refused.returncode == 2
    assert "holds no RSA private key" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_emulators_are_refused(emulator: str, tmp_path: Path) -> None:
    refused = provision(emulator, tmp_path, AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")

    assert refused.returncode == 2
    assert "must name the emulator, and the same one" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({"AWS_ENDPOINT_URL": "http://a"}, "http://a"),
        (
            {
                "AWS_ENDPOINT_URL": "http://b",
                "AWS_ENDPOINT_URL_S3": "http://a",
                "AWS_ENDPOINT_URL_DYNAMODB": "http://a",
            },
            "http://a",
        ),
    ],
    ids=["general", "of each service"],
)
def test_the_endpoint_is_the_service_s_own(environment: dict[str, str], endpoint: str) -> None:
    assert endpoint_of(environment) == endpoint


def test_real_aws_is_never_provisioned() -> None:
    with pytest.raises(ValueError, match="must name the emulator"):
        endpoint_of({})
