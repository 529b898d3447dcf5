"""`image-service rerender` as it is typed, over real pictures."""

from __future__ import annotations

import fcntl
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from tests import commands
from tests.api.photos import photo
from tests.commands import Ended
from tests.contract.samples import make_image
from tests.integration.test_reconcile_command import USER
from tests.integration.test_reconcile_command import environment as environment  # noqa: PLC0414
from tests.integration.world import DAY, World

from image_service.domain.images import Image
from image_service.domain.renditions import MAIN, THUMBNAIL, Rendition
from image_service.domain.times import utc_now
from image_service.tools.rerender.run import Rerendering


async def rerender(environment: dict[str, str], *options: str) -> Ended:
    return await commands.run(environment, "rerender", *options)


async def stored(world: World, width: int = 1000, height: int = 500) -> Image:
    """An image of before there were widths."""
    image = make_image(USER, at=utc_now() - DAY)
    data = photo(width, height, "WEBP")
    files = {
        MAIN: replace(image.main, width=width, height=height, size_bytes=len(data)),
        THUMBNAIL: replace(image.thumbnail, size_bytes=5),
    }
    image = replace(image, renditions=files)
    await world.objects.put(image.main.key, data, "image/webp")
    await world.objects.put(image.thumbnail.key, b"small", "image/webp")
    await world.repository.add(image)
    return image


async def renditions(world: World, image: Image) -> dict[str, Rendition]:
    """By width, each as its file is."""
    now = await world.repository.get(image.id)
    found = {}
    for name, rendition in now.renditions.items():
        if name.startswith("w"):
            response = await world.s3.get_object(Bucket=world.bucket, Key=rendition.key)
            data = await response["Body"].read()
            picture = Pillow.open(io.BytesIO(data))
            assert picture.format == "WEBP"
            assert (*picture.size, len(data)) == (
                rendition.width,
                rendition.height,
                rendition.size_bytes,
            )
            found[name] = rendition
    return found


async def sizes(world: World, image: Image) -> dict[str, tuple[int, int]]:
    return {
        name: (each.width, each.height) for name, each in (await renditions(world, image)).items()
    }


async def test_widths_come_and_go(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    wide, low, small = await stored(world), await stored(world, 2048, 26), await stored(world, 320)
    report = tmp_path / "report.json"

    ended = await rerender(environment, "--report", str(report), "--rate", "1000")
    assert ended.status == 0, ended.out + ended.err
    assert "3 images: 2 rendered, 0 failed, 1 current." in ended.out
    content: dict[str, Any] = json.loads(report.read_text())
    assert content == {
        "widths": [320, 640, 1280],
        "done": True,
        "lookedAt": 10,  # images, a counter, and two tags each
        "images": 3,
        "rendered": 2,
        "failed": 0,
        "failures": [],
    }
    assert await sizes(world, wide) == {"w320": (320, 160), "w640": (640, 320)}
    assert await sizes(world, low) == {"w320": (320, 4), "w640": (640, 8), "w1280": (1280, 16)}
    assert await sizes(world, small) == {}
    audited = [line for line in ended.out.splitlines() if '"action": "rerender"' in line]
    assert len(audited) == 2

    first = await renditions(world, wide)
    ended = await rerender(environment, "--widths", "500, 320")
    assert (ended.status, "2 rendered" in ended.out) == (0, True)
    assert await sizes(world, wide) == {"w320": (320, 160), "w500": (500, 250)}
    assert (await renditions(world, wide))["w320"] == first["w320"]
    assert first["w640"].key not in await world.files()

    none = environment | {"IMAGE_SERVICE_RENDITION_WIDTHS": ""}
    assert (await rerender(none, "--widths", "none")).status == 0
    assert await sizes(world, wide) == {}
    assert "3 current" in (await rerender(none)).out
    assert (await rerender(environment)).status == 0
    assert await renditions(world, wide) == first
    await world.processor.drain()
    world.ahead = DAY
    assert (await world.reconcile()).findings == []


async def test_what_can_not_be_rendered_is_said_and_stops_nothing(
    world: World, environment: dict[str, str]
) -> None:
    fine, missing, damaged = await stored(world), await stored(world), await stored(world)
    await world.objects.delete([missing.main.key])
    half = photo(1000, 500, "WEBP")[: damaged.main.size_bytes // 2]
    await world.objects.put(damaged.main.key, half, "image/webp")

    ended = await rerender(environment)
    assert ended.status == 1
    assert f"{missing.id}: its main picture is missing: {missing.main.key}" in ended.out
    assert f"{damaged.id}: INVALID_IMAGE: " in ended.out
    assert "3 images: 1 rendered, 2 failed, 0 current." in ended.out
    assert (await sizes(world, fine)).keys() == {"w320", "w640"}
    assert "rerender" not in await world.kinds()


async def test_it_goes_on_where_it_stopped(
    world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    images = [await stored(world) for _ in range(3)]
    checkpoint = tmp_path / "checkpoint.json"
    nowhere = environment | {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}
    stopped = await rerender(nowhere, "--resume", str(checkpoint))
    assert (stopped.status, "repeat the command to go on" in stopped.err) == (2, True)
    owner = Rerendering.model_validate_json(checkpoint.read_text()).owner

    other = await rerender(environment, "--resume", str(checkpoint), "--widths", "320")
    assert (other.status, "other widths" in other.err) == (2, True)
    with checkpoint.with_name("checkpoint.json.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside = await rerender(environment, "--resume", str(checkpoint))
    assert (beside.status, "another rerender" in beside.err) == (2, True)

    assert (await rerender(environment, "--resume", str(checkpoint))).status == 0
    for image in images:
        assert (await sizes(world, image)).keys() == {"w320", "w640"}
    ended = Rerendering.model_validate_json(checkpoint.read_text())
    assert (ended.done, ended.rendered, ended.owner) == (True, 3, owner)
    again = await rerender(environment, "--resume", str(checkpoint))
    assert (again.status, "3 current" in again.out) == (0, True)


@pytest.mark.parametrize("widths", ["x", "320,320", "0", "5000", "320;640", "-5"])
async def test_widths_that_can_not_be_are_refused(environment: dict[str, str], widths: str) -> None:
    refused = await rerender(environment, "--widths", widths)
    assert refused.status == 2
    assert "--widths" in refused.err
    assert "from 16 to 2047" in refused.err


async def test_a_file_that_is_no_checkpoint_is_said(
    environment: dict[str, str], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "holiday.json"
    checkpoint.write_text("[]")
    refused = await rerender(environment, "--resume", str(checkpoint))
    assert (refused.status, "is no checkpoint" in refused.err) == (2, True)
    assert checkpoint.read_text() == "[]"
