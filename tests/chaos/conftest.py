"""A table and a bucket apart from those of other tests, so that they can be read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests import engines
from tests.chaos.service import Backends
from tests.chaos.truth import Place

from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer


@pytest.fixture(scope="session")
async def place(emulator: str, issuer: LocalIssuer, _no_real_aws: None) -> AsyncIterator[Place]:
    table, bucket = "ImageMetadata-chaos", "images-lego-moc-chaos"
    await stack.provision(emulator, issuer, table_name=table, bucket=bucket)
    async with engines.dynamodb_client(emulator) as dynamodb, engines.s3_client(emulator) as s3:
        yield Place(emulator, table, bucket, dynamodb, s3)


@pytest.fixture(scope="session")
def backends(place: Place, issuer: LocalIssuer, redis_url: str) -> Backends:
    return Backends(place, issuer, redis_url)
