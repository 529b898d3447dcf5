"""The truth, read from table and bucket themselves, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from image_service.adapters.aws.cloudfront import NullCdn
from image_service.adapters.aws.s3 import S3ObjectStore
from image_service.adapters.dynamodb import (
    DynamoImageRepository,
    DynamoOutbox,
    DynamoRerenders,
    DynamoUploadIntents,
)
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.devstack.aws import create_bucket, create_table
from image_service.domain.fields import tag_key
from image_service.domain.times import utc_now
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import IntentSweeper
from image_service.tools.reconcile.bucket import S3Inventory
from image_service.tools.reconcile.reconciler import Options, Reconciler, Reconciliation
from image_service.tools.reconcile.stores import Stores
from image_service.tools.reconcile.table import DynamoTableInventory

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client


@dataclass(frozen=True)
class Place:
    """A table and a bucket on an emulator, and clients that reach them past the service."""

    endpoint: str
    table: str
    bucket: str
    dynamodb: DynamoDBClient
    s3: S3Client

    async def apart(self, name: str) -> Place:
        """Another table and another bucket beside these."""
        await create_table(self.dynamodb, name)
        await create_bucket(self.s3, name)
        return replace(self, table=name, bucket=name)


@dataclass(frozen=True)
class Truth:
    """All items and objects there are, of one user or of everyone."""

    items: list[Item]
    objects: Mapping[str, int]  # key -> bytes

    @property
    def images(self) -> dict[str, Item]:
        """Those that can be seen, by id."""
        return {item["id"]: item for item in self.of_type("image") if "deletedAt" not in item}

    def of_type(self, kind: str) -> list[Item]:
        return [item for item in self.items if item["type"] == kind]

    def wrong(self, *, settled: bool = False) -> list[str]:
        """Empty where every promise is kept.

        While work is under way, objects may be on record as about to go; once all is
        `settled`, nothing may be left but images and what belongs to them.
        """
        found = [*self._wrong_objects(settled=settled), *self._wrong_counters()]
        found += _difference("tag pointer", self._pointers(), self._expected_pointers())
        if settled:
            found += [f"intent of {item['imageId']} left" for item in self.of_type("intent")]
            found += [f"outbox entry left: {item}" for item in self.of_type("outbox")]
            found += [
                f"{item['id']} is stuck in deletion"
                for item in self.of_type("image")
                if "deletedAt" in item
            ]
        return found

    def _wrong_objects(self, *, settled: bool) -> Iterator[str]:
        owned = set()
        for item in self.images.values():
            for file in item["renditions"].values():
                owned.add(file["key"])
                if file["key"] not in self.objects:
                    yield f"{file['key']} is lost"
                elif (size := self.objects[file["key"]]) != file["bytes"]:
                    yield f"{file['key']} has {size} bytes, not {file['bytes']}"
        known = set() if settled else set(self._about_to_go())
        yield from (f"{key} is orphaned" for key in self.objects.keys() - owned - known)

    def _about_to_go(self) -> Iterator[str]:
        for item in self.of_type("intent"):
            yield from item["objectKeys"]
        for item in self.of_type("outbox"):
            for image in item.get("images", ()):
                yield from image["objectKeys"]

    def _wrong_counters(self) -> Iterator[str]:
        counts: Counter[tuple[str, str]] = Counter()
        sizes: Counter[tuple[str, str]] = Counter()
        for image in self.images.values():
            size = sum(file["bytes"] for file in image["renditions"].values())
            for key in _counters(image):
                counts[key] += 1
                sizes[key] += size
        stored = {(item["PK"], item["SK"]): item for item in self.of_type("usage")}
        for key in stored.keys() | counts.keys():
            item = stored.get(key, {"imageCount": 0, "totalBytes": 0})
            if (item["imageCount"], item["totalBytes"]) != (counts[key], sizes[key]):
                yield f"{key} says {item['imageCount']} images, there are {counts[key]}"
            if item["imageCount"] == 0 and key in stored and "#ALBUM#" in key[1]:
                yield f"{key} is empty and still there"

    def _pointers(self) -> set[tuple[Any, ...]]:
        return {
            (item["PK"], item["SK"], item["id"], item.get("albumId"), tuple(item["tags"]))
            for item in self.of_type("tag")
        }

    def _expected_pointers(self) -> set[tuple[Any, ...]]:
        return {
            (
                f"TAG#{image['userId']}#{tag_key(tag)}",
                f"UPLOADED#{image['uploadedAt']}#{image['id']}",
                image["id"],
                image.get("albumId"),
                tuple(image["tags"]),
            )
            for image in self.images.values()
            for tag in image["tags"]
        }


def _counters(image: Item) -> Iterator[tuple[str, str]]:
    yield f"USER#{image['userId']}", "USAGE"
    if "albumId" in image:
        yield f"USER#{image['userId']}", f"USAGE#ALBUM#{image['albumId']}"


def _difference(what: str, found: set[Any], expected: set[Any]) -> list[str]:
    return [f"{what} too many: {one}" for one in found - expected] + [
        f"{what} missing: {one}" for one in expected - found
    ]


async def truth(place: Place, user: str | None = None) -> Truth:
    """Read past the service; for one `user` alone where the place is shared."""
    items = [item async for item in _scan(place.dynamodb, place.table)]
    objects = {key: size async for key, size in _objects(place.s3, place.bucket)}
    if user is not None:
        items = [item for item in items if user in repr(item)]
        objects = {key: size for key, size in objects.items() if user in key}
    return Truth(items, objects)


async def _scan(client: DynamoDBClient, table: str) -> Any:
    request: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
    while True:
        answer = await client.scan(**request)
        for item in answer["Items"]:
            yield from_wire(item)
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


async def _objects(client: S3Client, bucket: str) -> Any:
    async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            yield found["Key"], found["Size"]


async def settle(place: Place) -> None:
    """What the worker of some task would do over the next two days, at once.

    Only while no request is under way: it takes every upload for one that died.
    """
    stores = _stores(place)
    await IntentSweeper(intents=stores.intents, objects=stores.objects).sweep(_later())
    await _processor(place, stores).drain()


async def left_wrong(place: Place, user: str | None = None) -> list[str]:
    """What is wrong once all is settled, and what goes on behind answers has had five seconds."""
    for _ in range(50):
        await settle(place)
        if not (found := (await truth(place, user)).wrong(settled=True)):
            break
        await asyncio.sleep(0.1)
    return found


async def reconcile(place: Place) -> Reconciliation:
    """What `image-service reconcile --fix` would, in two days; as above."""
    stores, found = _stores(place), Reconciliation(fix=True)
    options = Options(max_orphans=1_000)
    await Reconciler(stores, _processor(place, stores), options, _later).run(found, lambda _: None)
    return found


def _later() -> datetime:
    return utc_now() + timedelta(days=2)  # images that were just uploaded are no longer young


def _stores(place: Place) -> Stores:
    return Stores(
        table=DynamoTableInventory(place.dynamodb, place.table),
        inventory=S3Inventory(place.s3, bucket=place.bucket),
        objects=S3ObjectStore(
            place.s3, bucket=place.bucket, cache_control="no-cache", storage_class="STANDARD"
        ),
        repository=DynamoImageRepository(place.dynamodb, place.table),
        intents=DynamoUploadIntents(place.dynamodb, place.table),
        rerenders=DynamoRerenders(place.dynamodb, place.table),
        outbox=DynamoOutbox(place.dynamodb, place.table),
    )


def _processor(place: Place, stores: Stores) -> OutboxProcessor:
    return OutboxProcessor(
        outbox=stores.outbox,
        objects=stores.objects,
        cdn=NullCdn(),
        repository=DynamoImageRepository(place.dynamodb, place.table),
        purge_cache=_nothing_cached,
        now=_later,
    )


async def _nothing_cached(user_id: str, image_id: str) -> None:
    """There is no cache beside the service's own."""


async def expire_leases(place: Place) -> None:
    """As if the minute had passed that a dead task's hold on an idempotency key lasts."""
    async for item in _scan(place.dynamodb, place.table):
        if item["type"] == "idempotency" and item["state"] == "in-progress":
            await place.dynamodb.update_item(
                TableName=place.table,
                Key=to_wire({"PK": item["PK"], "SK": item["SK"]}),
                UpdateExpression="SET leaseUntil = :past",
                ExpressionAttributeValues=to_wire({":past": 0}),
            )
