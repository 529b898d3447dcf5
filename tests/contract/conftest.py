"""One suite a port, over the fake and over the adapter on each engine.

Stores live as long as the run; tests keep apart by users nobody else has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests import engines
from tests.fakes import (
    FakeCdn,
    FakeIdempotencyRecords,
    FakeImageLists,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    FakeUploadIntents,
    FakeUsageCounters,
    StoredObject,
)

from image_service.adapters.aws.cloudfront import CloudFrontCdn
from image_service.adapters.aws.s3 import S3ObjectStore
from image_service.adapters.dynamodb import (
    DynamoIdempotencyRecords,
    DynamoImageLists,
    DynamoImageRepository,
    DynamoOutbox,
    DynamoUploadIntents,
    DynamoUsageCounters,
)
from image_service.devstack.aws import create_bucket, create_table
from image_service.ports import (
    Cdn,
    IdempotencyRecords,
    ImageLists,
    ImageRepository,
    ObjectStore,
    Outbox,
    UploadIntents,
    UsageCounters,
)

FAKE = "fake"
TABLE_NAME = "ImageMetadata-contract"
BUCKET = "images-lego-moc-contract"
CACHE_CONTROL = "public, max-age=86400, immutable"


@dataclass(frozen=True)
class ImageStores:
    """A repository and lists over the same table; `bounded` makes lists that look less far."""

    repository: ImageRepository
    lists: ImageLists
    bounded: Callable[[int], ImageLists]
    intents: UploadIntents
    records: IdempotencyRecords
    outbox: Outbox
    usage: UsageCounters


@dataclass(frozen=True)
class Objects:
    """A store, and a look at what is in it."""

    store: ObjectStore
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Purges:
    """A CDN, and a look at the paths it was told to drop, by reference."""

    cdn: Cdn
    read: Callable[[], Any]


def _endpoint(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == FAKE else request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=[FAKE, *engines.engines(engines.DYNAMODB_LOCAL)])
def dynamodb_endpoint(request: pytest.FixtureRequest) -> str | None:
    return _endpoint(request)


@pytest.fixture(scope="session", params=[FAKE, engines.MOTO, *engines.engines(engines.SEAWEEDFS)])
def s3_endpoint(request: pytest.FixtureRequest) -> str | None:
    return _endpoint(request)


@pytest.fixture(scope="session", params=[FAKE, engines.MOTO, engines.EMULATOR])
def cloudfront_endpoint(request: pytest.FixtureRequest) -> str | None:
    return _endpoint(request)


@pytest.fixture(scope="session")
async def stores(dynamodb_endpoint: str | None) -> AsyncIterator[ImageStores]:
    if dynamodb_endpoint is None:
        table = FakeTable()
        yield ImageStores(
            FakeImageRepository(table),
            FakeImageLists(table),
            lambda bound: FakeImageLists(table, look_bound=bound),
            FakeUploadIntents(table),
            FakeIdempotencyRecords(table),
            FakeOutbox(table),
            FakeUsageCounters(table),
        )
        return
    async with engines.dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, TABLE_NAME)
        yield ImageStores(
            DynamoImageRepository(client, TABLE_NAME),
            DynamoImageLists(client, TABLE_NAME),
            lambda bound: DynamoImageLists(client, TABLE_NAME, look_bound=bound),
            DynamoUploadIntents(client, TABLE_NAME),
            DynamoIdempotencyRecords(client, TABLE_NAME),
            DynamoOutbox(client, TABLE_NAME),
            DynamoUsageCounters(client, TABLE_NAME),
        )


@pytest.fixture
def repository(stores: ImageStores) -> ImageRepository:
    return stores.repository


@pytest.fixture
def lists(stores: ImageStores) -> ImageLists:
    return stores.lists


@pytest.fixture
def usage(stores: ImageStores) -> UsageCounters:
    return stores.usage


@pytest.fixture
def intents(stores: ImageStores) -> UploadIntents:
    return stores.intents


@pytest.fixture
def records(stores: ImageStores) -> IdempotencyRecords:
    return stores.records


@pytest.fixture
def outbox(stores: ImageStores) -> Outbox:
    return stores.outbox


@pytest.fixture
def user(unique: str) -> str:
    """With every character a user id may have beside letters and digits."""
    return f"auth0|{unique}.a@b:c_d-e"


@pytest.fixture(scope="session")
async def objects(s3_endpoint: str | None) -> AsyncIterator[Objects]:
    if s3_endpoint is None:
        fake = FakeObjectStore()

        async def look(key: str) -> StoredObject | None:
            return fake.objects.get(key)

        yield Objects(fake, look)
        return
    async with engines.s3_client(s3_endpoint) as client:
        await create_bucket(client, BUCKET)

        async def read(key: str) -> StoredObject | None:
            try:
                answer = await client.get_object(Bucket=BUCKET, Key=key)
            except client.exceptions.NoSuchKey:
                return None
            return StoredObject(await answer["Body"].read(), answer["ContentType"])

        store = S3ObjectStore(
            client, bucket=BUCKET, cache_control=CACHE_CONTROL, storage_class="INTELLIGENT_TIERING"
        )
        yield Objects(store, read)


@pytest.fixture(scope="session")
async def purges(cloudfront_endpoint: str | None) -> AsyncIterator[Purges]:
    if cloudfront_endpoint is None:
        fake = FakeCdn()

        async def look() -> dict[str, set[str]]:
            return {purge.reference: set(purge.paths) for purge in fake.invalidations}

        yield Purges(fake, look)
        return
    async with engines.cloudfront_client(cloudfront_endpoint) as client:
        distribution_id = await engines.create_distribution(client)

        async def read() -> dict[str, set[str]]:
            answer = await client.list_invalidations(DistributionId=distribution_id)
            purges = [
                await client.get_invalidation(DistributionId=distribution_id, Id=entry["Id"])
                for entry in answer["InvalidationList"].get("Items", [])
            ]
            batches = [purge["Invalidation"]["InvalidationBatch"] for purge in purges]
            return {batch["CallerReference"]: set(batch["Paths"]["Items"]) for batch in batches}

        yield Purges(CloudFrontCdn(client, distribution_id), read)
