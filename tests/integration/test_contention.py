"""Many uploads of one user at once, where the store refuses all but one at a time.

No engine of the tests cancels transactions for a conflict. So a server in front of one does
as DynamoDB does: a transaction that meets another on the same item is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests import engines
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.integration.table import Table
from tests.integration.world import World

from image_service.adapters.dynamodb import DynamoImageRepository
from image_service.domain.errors import Contended, DependencyUnavailable
from image_service.domain.images import Image, ImageChanges
from image_service.domain.times import utc_now

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

USER = "user"
UPLOADS = 50
ALWAYS = faults.refusal("TransactionCanceledException", reasons=("TransactionConflict",))
THROTTLED = faults.refusal(
    "TransactionCanceledException", reasons=("TransactionConflict", "ThrottlingError")
)
TRANSACTION = 0.015  # seconds; what one takes in a region, about


class OneAtATime(FaultyServer):
    """All transactions touch the user's counter: while one runs, others are refused."""

    def __init__(self, engine: str) -> None:
        super().__init__(engine)
        self.refused = 0
        self._busy = False

    async def forward(self, request: bytes) -> bytes:
        if b"TransactItems" not in request:
            return await super().forward(request)
        if self._busy:
            self.refused += 1
            refusal = faults.refusal(
                "TransactionCanceledException", reasons=("None", "TransactionConflict")
            )
            answer: bytes = await refusal(self, request)
            return answer
        self._busy = True
        try:
            await asyncio.sleep(TRANSACTION)
            return await super().forward(request)
        finally:
            self._busy = False


async def test_contention_is_waited_out(world: World, s3: S3Client, dynamodb_endpoint: str) -> None:
    """How long that takes is up to the machine; tests/unit/adapters/test_transactions.py knows."""
    server = OneAtATime(dynamodb_endpoint)
    async with server.running() as url, engines.dynamodb_client(url) as client:
        contended = World(Table(client, world.table.name, patience=200), s3, world.bucket)
        async with asyncio.TaskGroup() as group:  # where one fails, none outlives the client
            uploads = [
                group.create_task(contended.upload(USER, album_id="a")) for _ in range(UPLOADS)
            ]
        images: list[Image] = [upload.result() for upload in uploads]

    assert server.refused > UPLOADS  # there was contention to speak of
    assert await world.table.lists.count(USER, None) == UPLOADS
    assert await world.table.lists.count(USER, "a") == UPLOADS
    assert await world.files() == {key for image in images for key in image.object_keys}
    assert (await world.reconcile()).clean


async def update(repository: DynamoImageRepository, image: Image, **options: Any) -> None:
    edited = image.edited(ImageChanges(title="x"), utc_now())
    await repository.update(image, edited, **options)


async def mark_deleted(repository: DynamoImageRepository, image: Image, **options: Any) -> None:
    await repository.mark_deleted(image, utc_now(), **options)


@pytest.mark.parametrize("write", [update, mark_deleted])
@pytest.mark.parametrize(("refusal", "contended"), [(ALWAYS, True), (THROTTLED, False)])
async def test_contention_without_end_is_told_from_an_outage(
    world: World, dynamodb_endpoint: str, write: Any, refusal: faults.Fault, *, contended: bool
) -> None:
    image = await world.upload(USER)
    server = FaultyServer(dynamodb_endpoint)
    server.script = [refusal] * 1_000
    async with server.running() as url, engines.dynamodb_client(url) as client:
        repository = DynamoImageRepository(client, world.table.name, patience=0.2)
        with pytest.raises(DependencyUnavailable) as failure:
            await write(repository, image)
    assert isinstance(failure.value, Contended) is contended


@pytest.mark.parametrize("write", [update, mark_deleted])
async def test_no_try_begins_when_the_request_has_no_time_for_it(
    world: World, dynamodb_endpoint: str, write: Any
) -> None:
    image = await world.upload(USER)
    server = FaultyServer(dynamodb_endpoint)
    server.script = [ALWAYS] * 1_000
    async with server.running() as url, engines.dynamodb_client(url) as client:
        repository = DynamoImageRepository(client, world.table.name)
        with pytest.raises(Contended):
            await write(repository, image, until=asyncio.get_running_loop().time())
    assert len([body for body in server.bodies if "TransactItems" in body]) == 1
