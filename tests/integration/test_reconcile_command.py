"""`image-service reconcile` as it is typed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.integration.test_reconcile import plant_missing_pointer, plant_orphaned_file
from tests.integration.world import World

USER = "auth0|a.b@c:d"


class Ended(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def environment(world: World, dynamodb_endpoint: str, s3_endpoint: str) -> dict[str, str]:
    return os.environ | {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "IMAGE_SERVICE_STAGE": "test",
        "IMAGE_SERVICE_TABLE_NAME": world.table.name,
        "IMAGE_SERVICE_BUCKET": world.bucket,
        "IMAGE_SERVICE_CDN_BASE_URL": "https://cdn.example",
        "IMAGE_SERVICE_COGNITO_ISSUER": "https://issuer.example",
        "IMAGE_SERVICE_COGNITO_CLIENT_IDS": "client",
        "COLUMNS": "200",
    }


async def reconcile(environment: dict[str, str], *options: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "image-service"),
        *("reconcile", "--min-age", "0", *options),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_it_finds_then_mends_then_is_clean(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    image = await world.upload(USER, tags=("Castle",))
    await plant_missing_pointer(world, image)
    await plant_orphaned_file(world, image)
    await asyncio.sleep(1)  # a file's time is its whole second, and rounded up by some
    report = tmp_path / "report.json"

    found = await reconcile(environment, "--report", str(report))
    assert found.status == 1, found.err
    assert "missing tag pointer" in found.out
    content: dict[str, Any] = json.loads(report.read_text())
    assert (content["clean"], content["done"], content["fix"]) == (False, True, False)
    assert {kind: n for kind, n in content["found"].items() if n} == {
        "file without an image": 2,
        "missing tag pointer": 1,
    }
    assert {"kind", "subject", "detail", "fixed"} == set(content["findings"][0])

    mended = await reconcile(environment, "--fix", "--report", str(report))
    assert mended.status == 0, mended.err
    assert json.loads(report.read_text())["clean"] is True

    assert (await reconcile(environment)).status == 0
    assert await world.files() == set(image.object_keys)


async def test_it_goes_on_where_it_stopped(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    image = await world.upload(USER, tags=("Castle",))
    await plant_missing_pointer(world, image)
    checkpoint = tmp_path / "checkpoint.json"
    nowhere = environment | {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}

    stopped = await reconcile(nowhere, "--resume", str(checkpoint))
    assert stopped.status == 2
    assert "repeat the command" in stopped.err
    assert json.loads(checkpoint.read_text())["part"] == "files"

    other = await reconcile(environment, "--fix", "--resume", str(checkpoint))
    assert (other.status, "without --fix" in other.err) == (2, True)

    resumed = await reconcile(environment, "--resume", str(checkpoint))
    assert resumed.status == 1
    assert json.loads(checkpoint.read_text())["done"] is True


async def test_a_file_that_is_no_checkpoint_is_said(
    environment: dict[str, str], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "holiday.json"
    checkpoint.write_text("[]")

    refused = await reconcile(environment, "--resume", str(checkpoint))

    assert refused.status == 2
    assert "is no checkpoint" in refused.err
    assert checkpoint.read_text() == "[]"


async def test_wrong_settings_are_said(environment: dict[str, str]) -> None:
    del environment["IMAGE_SERVICE_BUCKET"]

    refused = await reconcile(environment)

    assert refused.status == 2
    assert "IMAGE_SERVICE_BUCKET" in refused.err
