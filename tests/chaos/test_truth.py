"""Faults of every kind show in `truth`, which the other tests of this folder trust."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.chaos.service import Backends, Service, new_user, running_service, stored
from tests.chaos.truth import Place, truth

from image_service.adapters.dynamodb.items import to_wire


@pytest.fixture(scope="module")
async def service(backends: Backends) -> AsyncIterator[Service]:
    async with running_service(await backends.apart("truth")) as running:
        yield running


async def drop_file(place: Place, user: str) -> None:
    key = next(iter((await truth(place, user)).objects))
    await place.s3.delete_object(Bucket=place.bucket, Key=key)


async def cut_file(place: Place, user: str) -> None:
    key = next(iter((await truth(place, user)).objects))
    await place.s3.put_object(Bucket=place.bucket, Key=key, Body=b"half")


async def orphan_file(place: Place, user: str) -> None:
    await place.s3.put_object(Bucket=place.bucket, Key=f"images/{user}/lost.webp", Body=b"x")


async def change(place: Place, user: str, kind: str, name: str, value: object) -> None:
    item = (await truth(place, user)).of_type(kind)[0] | {name: value}
    await place.dynamodb.put_item(TableName=place.table, Item=to_wire(item))


async def drop(place: Place, user: str, kind: str) -> None:
    item = (await truth(place, user)).of_type(kind)[0]
    key = to_wire({"PK": item["PK"], "SK": item["SK"]})
    await place.dynamodb.delete_item(TableName=place.table, Key=key)


Fault = Callable[[Place, str], Awaitable[None]]
FAULTS: dict[str, Fault] = {
    "lost": drop_file,
    "bytes, not": cut_file,
    "orphaned": orphan_file,
    "says 7 images": lambda place, user: change(place, user, "usage", "imageCount", 7),
    "there are 1": lambda place, user: drop(place, user, "usage"),
    "tag pointer missing": lambda place, user: drop(place, user, "tag"),
    "tag pointer too many": lambda place, user: change(place, user, "tag", "SK", "UPLOADED#x#y"),
    "stuck in deletion": lambda place, user: change(place, user, "image", "deletedAt", "now"),
}


@pytest.mark.parametrize("told", FAULTS)
async def test_a_planted_fault_is_told(service: Service, told: str):
    user = new_user()
    async with service.client(user) as client:
        await stored(client, albumId="b", tags="a")
    assert (await truth(service.place, user)).wrong(settled=True) == []
    await FAULTS[told](service.place, user)
    assert any(told in line for line in (await truth(service.place, user)).wrong(settled=True))
