"""`image-service reconcile` as it is typed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import commands
from tests.commands import Ended
from tests.container.metric_filters import values
from tests.contract.samples import make_image
from tests.integration.test_reconcile import plant_missing_pointer, plant_orphaned_pointers
from tests.integration.world import DAY, World

from image_service.domain.images import Image
from image_service.domain.outbox import Clearing, OutboxEntry, Step
from image_service.domain.times import utc_now
from image_service.services.outbox import MAX_TRIES
from image_service.tools.reconcile.findings import FindingKind

USER = "auth0|a.b@c:d"


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
    return await commands.run(environment, "reconcile", *options)


def last_line(ended: Ended) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return line


def counted(ended: Ended, metric: str) -> list[float]:
    """What CloudWatch would make of the run's log."""
    return values("reconcile", metric, ended.out.splitlines())


async def old_image(world: World) -> Image:
    """With faults that are as old."""
    image = make_image(USER, at=utc_now() - DAY, tags=("castle",))
    for file in image.renditions.values():
        await world.objects.put(file.key, bytes(file.size_bytes), "image/webp")
    await world.repository.add(image)
    await plant_orphaned_pointers(world, image)
    await plant_missing_pointer(world, image)
    return image


async def test_it_finds_then_mends_then_is_clean(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    image = await old_image(world)
    report = tmp_path / "report.json"

    found = await reconcile(environment, "--report", str(report))
    assert found.status == 1, found.err
    assert "missing tag pointer" in found.out
    content: dict[str, Any] = json.loads(report.read_text())
    assert (content["clean"], content["done"], content["fix"]) == (False, True, False)
    assert {kind: n for kind, n in content["found"].items() if n} == {
        "tag pointer without an image": 2,
        "missing tag pointer": 1,
    }
    assert {"kind", "subject", "detail", "fixed"} == set(content["findings"][0])

    line = last_line(found)
    assert (line["event"], line["level"]) == ("reconcile_finished", "info")
    assert (line["findings"], line["fixed"]) == (3, 0)
    assert set(line["kinds"]) == {kind.name.lower() for kind in FindingKind}
    assert (line["kinds"]["orphaned_pointer"], line["kinds"]["missing_pointer"]) == (2, 1)
    assert (counted(found, "ReconcileRuns"), counted(found, "ReconcileFindings")) == ([1], [3])

    repaired = await reconcile(environment, "--fix", "--report", str(report))
    assert repaired.status == 0, repaired.err
    assert json.loads(report.read_text())["clean"] is True
    assert (last_line(repaired)["findings"], last_line(repaired)["fixed"]) == (3, 3)

    clean = await reconcile(environment)
    assert clean.status == 0
    assert (counted(clean, "ReconcileRuns"), counted(clean, "ReconcileFindings")) == ([1], [])
    assert await world.files() == set(image.object_keys)


async def test_it_goes_on_where_it_stopped(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    await old_image(world)
    checkpoint = tmp_path / "checkpoint.json"
    nowhere = environment | {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}

    stopped = await reconcile(nowhere, "--resume", str(checkpoint))
    assert stopped.status == 2
    assert "repeat the command" in stopped.err
    assert counted(stopped, "ReconcileRuns") == []
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


async def test_no_less_than_five_minutes_are_left_alone(environment: dict[str, str]) -> None:
    refused = await reconcile(environment, "--min-age", "4.9")
    assert refused.status == 2
    assert "--min-age" in refused.err


async def test_a_store_that_does_not_answer_is_said_with_the_cause(
    environment: dict[str, str],
) -> None:
    ended = await reconcile(environment | {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"})

    assert ended.status == 2
    assert "see the log above" in ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    causes = [line for line in lines if line["event"] == "aws_call_failed"]
    assert causes
    assert causes[0]["operation"].startswith("dynamodb:")
    assert causes[0]["kind"] == "EndpointConnectionError"


async def test_wrong_settings_are_said(environment: dict[str, str]) -> None:
    del environment["IMAGE_SERVICE_BUCKET"]

    refused = await reconcile(environment)

    assert refused.status == 2
    assert "IMAGE_SERVICE_BUCKET" in refused.err


async def test_work_that_is_given_up_is_counted(world: World, environment: dict[str, str]) -> None:
    image = await world.upload(USER)
    entry = await world.repository.mark_deleted(image, utc_now())
    last = OutboxEntry.new(Clearing(Step.PURGE, entry.deletions), utc_now())
    await world.outbox.replace([entry], replace(last, tries=MAX_TRIES - 1))
    no_cloudfront = environment | {
        "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID": "E1TESTS",
        "AWS_ENDPOINT_URL_CLOUDFRONT": "http://127.0.0.1:9",
    }

    ended = await reconcile(no_cloudfront, "--fix")

    assert counted(ended, "OutboxSetAside") == [1], ended.out
    assert '"level": "error"' in next(
        line for line in ended.out.splitlines() if "outbox_entry_set_aside" in line
    )
