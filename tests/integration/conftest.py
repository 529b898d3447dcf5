"""The DynamoDB adapter on each engine, with the client at hand to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.integration.table import Table
from tests.integration.world import World

from image_service.devstack.aws import create_bucket, create_table

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

TABLE_NAME = "ImageMetadata-integration"
BUCKET = "images-lego-moc-integration"


@pytest.fixture(scope="session", params=engines.engines(engines.DYNAMODB_LOCAL))
def dynamodb_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == engines.EMULATOR:
        yield request.getfixturevalue("emulator")
        return
    with engines.dynamodb_local() as url:
        yield url


@pytest.fixture(scope="session")
def s3_endpoint(dynamodb_endpoint: str, emulator: str) -> Iterator[str]:
    """The emulator beside the emulator, a real engine beside a real one."""
    if dynamodb_endpoint == emulator:
        yield emulator
        return
    with engines.seaweedfs() as url:
        yield url


@pytest.fixture(scope="session")
async def table(dynamodb_endpoint: str) -> AsyncIterator[Table]:
    async with engines.dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, TABLE_NAME)
        yield Table(client, TABLE_NAME)


@pytest.fixture(scope="session")
async def s3(s3_endpoint: str) -> AsyncIterator[S3Client]:
    async with engines.s3_client(s3_endpoint) as client:
        await create_bucket(client, BUCKET)
        yield client


@pytest.fixture
async def world(table: Table, s3: S3Client, unique: str) -> World:
    """A table of its own, and the bucket, empty."""
    own = Table(table.client, f"World-{unique}")
    await create_table(table.client, own.name)
    opened = World(own, s3, BUCKET)
    await opened.objects.delete(sorted(await opened.files()))
    opened.ahead = timedelta(seconds=5)  # objects' times are whole seconds
    return opened


@pytest.fixture
def user(unique: str) -> str:
    return f"user-{unique}"
