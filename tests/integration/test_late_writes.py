"""Writes that S3 carries out long after their sender gave them up: no picture comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.world import World

from image_service.domain.images import CdnUrls, Image
from image_service.domain.outbox import LATE_WRITES, YOUNG

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

USER = "user"
A_MOMENT = timedelta(minutes=1)


async def deleted(world: World, *, after: timedelta) -> Image:
    """An image that was deleted so long after its upload, as the worker finds it."""
    image = await world.upload(USER)
    world.ahead = after
    await world.repository.mark_deleted(image, world.now())
    world.ahead += A_MOMENT
    await world.processor.drain()
    assert await world.files() == set()
    return image


async def outbox(world: World) -> list[str]:
    return [item["step"] for item in await world.items() if item["type"] == "outbox"]


@pytest.mark.parametrize("number", [0, 1, 4], ids=["main", "thumbnail", "w1280"])
async def test_a_file_that_comes_back_is_removed_and_invalidated(
    world: World, s3: S3Client, number: int
) -> None:
    image = await deleted(world, after=A_MOMENT)
    bystander = await world.upload(USER)
    key = image.object_keys[number]
    await s3.put_object(Bucket=world.bucket, Key=key, Body=b"late", ContentType="image/webp")
    assert await outbox(world) == ["again"]

    world.ahead += LATE_WRITES
    while await world.processor.round():
        world.ahead += timedelta(seconds=1)

    assert await world.files() == set(bystander.object_keys)
    purged = [path for purge in world.cdn.invalidations for path in purge.paths]
    assert purged.count(CdnUrls.path(key)) == 2
    assert await outbox(world) == ["again"]  # until a look finds nothing
    world.ahead += LATE_WRITES
    await world.processor.drain()
    assert await outbox(world) == []
    assert (await world.reconcile()).clean


async def test_where_nothing_comes_back_a_look_is_all(world: World) -> None:
    image = await deleted(world, after=A_MOMENT)
    assert await outbox(world) == ["again"]
    world.ahead += LATE_WRITES
    await world.processor.drain()
    assert await outbox(world) == []
    [purge] = world.cdn.invalidations
    assert set(purge.paths) == {CdnUrls.path(key) for key in image.object_keys}


async def test_an_old_image_is_not_looked_for_again(world: World) -> None:
    await deleted(world, after=YOUNG + A_MOMENT)
    assert await outbox(world) == []
