"""The DynamoDB adapter on each engine, with the client at hand to look behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
def dynamodb_endpoint(request: pytest.FixtureRequest) -> str:
    endpoint: str = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture(scope="session")
def s3_endpoint(dynamodb_endpoint: str, emulator: str, request: pytest.FixtureRequest) -> str:
    """The emulator beside the emulator, a real engine beside a real one."""
    beside = engines.EMULATOR if dynamodb_endpoint == emulator else engines.SEAWEEDFS
    endpoint: str = request.getfixturevalue(beside)
    return endpoint


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
