"""Uploads and deletions whose answers from DynamoDB are lost, over a real engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.integration.table import Table
from tests.integration.world import DAY, World

from image_service.adapters.aws.clients import ATTEMPTS
from image_service.adapters.dynamodb import DynamoImageRepository, DynamoOutbox
from image_service.domain.errors import DependencyUnavailable, IdempotencyInProgress, OutcomeUnknown
from image_service.domain.outbox import CachePurge, Lease, OutboxQueue
from image_service.domain.renditions import RENDITIONS
from image_service.domain.times import utc_now

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

USER = "user"


@pytest.fixture
def server(dynamodb_endpoint: str) -> FaultyServer:
    return FaultyServer(dynamodb_endpoint)


@pytest.fixture
async def faulty(world: World, s3: S3Client, server: FaultyServer) -> AsyncIterator[World]:
    """The same table and bucket, by way of the server that fails."""
    async with server.running() as url, engines.dynamodb_client(url, 1) as client:
        opened = World(Table(client, world.table.name), s3, world.bucket, ahead=world.ahead)
        opened.repository = DynamoImageRepository(client, world.table.name, patience=0.3)
        opened.outbox = DynamoOutbox(client, world.table.name, patience=0.3)
        yield opened


def on(marker: str, fault: faults.Fault) -> faults.Fault:
    """`fault` for transactions that hold `marker`; all else is passed on."""

    async def choosy(server: FaultyServer, request: bytes) -> bytes:
        body = request.partition(b"\r\n\r\n")[2]
        if b"TransactItems" in body and marker in json.dumps(json.loads(body)):
            answer: bytes = await fault(server, request)
            return answer
        return await server.forward(request)

    return choosy


def first(fault: faults.Fault, then: faults.Fault) -> faults.Fault:
    met = []

    async def one_then_other(server: FaultyServer, request: bytes) -> bytes:
        met.append(request)
        answer: bytes = await (fault if len(met) == 1 else then)(server, request)
        return answer

    return one_then_other


async def test_a_commit_that_happened_unheard_is_answered_with_the_image(
    world: World, faulty: World, server: FaultyServer
) -> None:
    unheard = first(faults.lost_answer, faults.lost_request)
    server.script = [on('"ownerChecksum"', unheard)] * 200

    image = await faulty.upload(USER, "key")

    assert await world.repository.get(image.id) == image
    assert await world.files() == set(image.object_keys)
    assert await world.table.lists.count(USER, None) == 1
    assert await world.upload(USER, "key") == image
    assert await world.kinds() == {"image", "usage", "tag", "idempotency"}


async def test_a_commit_that_never_happened_leaves_nothing_and_frees_the_key(
    world: World, faulty: World, server: FaultyServer
) -> None:
    server.script = [on('"ownerChecksum"', faults.lost_request)] * 200

    with pytest.raises(OutcomeUnknown):
        await faulty.upload(USER, "key")

    assert await world.files() == set()
    assert await world.kinds() == {"intent"}  # withdrawn: nobody can commit any more
    image = await world.upload(USER, "key")
    await world.sweeper.sweep(world.now())
    assert await world.files() == set(image.object_keys)
    assert await world.kinds() == {"image", "usage", "tag", "idempotency"}


@pytest.mark.parametrize("committed", [True, False])
async def test_where_nothing_can_be_found_out_the_sweeper_settles_it(
    world: World, faulty: World, server: FaultyServer, *, committed: bool
) -> None:
    """The table is gone for good after the commit: as it were a dead task, with its files."""
    met = faults.lost_answer if committed else faults.lost_request
    gone = first(met, faults.refusal("AccessDeniedException"))
    server.script = [on("TransactItems", gone)] * 200

    with pytest.raises(OutcomeUnknown):
        await faulty.upload(USER, "key")
    files = await world.files()
    assert len(files) == len(RENDITIONS)

    await world.sweeper.sweep(world.now())

    assert await world.files() == (files if committed else set())
    assert await world.table.lists.count(USER, None) == committed
    assert (await world.reconcile()).clean


async def test_an_unheard_announcement_is_only_made_again(
    world: World, faulty: World, server: FaultyServer
) -> None:
    server.script = [faults.lost_answer]

    image = await faulty.upload(USER)

    assert await world.files() == set(image.object_keys)
    assert (await world.reconcile()).clean
    assert "intent" not in await world.kinds()


async def test_an_unheard_claim_is_this_request_s(
    world: World, faulty: World, server: FaultyServer
) -> None:
    server.script = [faults.lost_answer]

    image = await faulty.upload(USER, "key")

    assert await world.upload(USER, "key") == image


@pytest.mark.parametrize(
    "refusal",
    [
        faults.refusal("TransactionCanceledException", reasons=("TransactionConflict",)),
        faults.refusal("TransactionCanceledException", reasons=("ThrottlingError", "None")),
        faults.refusal("ProvisionedThroughputExceededException"),
        faults.refusal("InternalServerError", status=500),
        faults.lost_answer,
        faults.lost_request,
    ],
    ids=["conflict", "throttled", "capacity", "server error", "lost answer", "lost request"],
)
async def test_what_passes_is_waited_out(
    world: World, faulty: World, server: FaultyServer, refusal: faults.Fault
) -> None:
    server.script = [faults.passed_on, refusal, refusal]  # the announcement, then the commit
    faulty.repository = faulty.table.repository  # with its ordinary patience

    image = await faulty.upload(USER)

    assert await world.repository.get(image.id) == image
    assert await world.table.lists.count(USER, None) == 1
    assert (await world.reconcile()).clean


async def test_every_try_of_a_commit_is_the_same_transaction(
    world: World, faulty: World, server: FaultyServer
) -> None:
    """So that one which was carried out unheard is not carried out again."""
    commits: list[str] = []

    async def watched(server: FaultyServer, request: bytes) -> bytes:
        commits.append(json.loads(request.partition(b"\r\n\r\n")[2])["ClientRequestToken"])
        fault = faults.lost_answer if len(commits) <= 2 * ATTEMPTS else faults.passed_on
        answer: bytes = await fault(server, request)
        return answer

    server.script = [on('"ownerChecksum"', watched)] * 50
    faulty.repository = faulty.table.repository  # with its ordinary patience

    image = await faulty.upload(USER)

    assert len(commits) == 2 * ATTEMPTS + 1  # botocore's own tries, and twice anew
    assert len(set(commits)) == 1
    assert await world.table.lists.count(USER, None) == 1
    assert await world.repository.get(image.id) == image


@pytest.mark.parametrize("heard", [True, False])
async def test_a_commit_that_was_refused_is_none_though_its_intent_is_gone(
    world: World, faulty: World, server: FaultyServer, *, heard: bool
) -> None:
    """A sweeper took the upload for one that had died, and has finished with it."""

    async def swept(server: FaultyServer, request: bytes) -> bytes:
        if '"ownerChecksum"' in json.dumps(json.loads(request.partition(b"\r\n\r\n")[2])):
            world.ahead = DAY
            await world.sweeper.sweep(world.now())
            answer: bytes = await (faults.passed_on if heard else faults.lost_request)(
                server, request
            )
            return answer
        return await server.forward(request)

    server.script = [swept] * 200

    with pytest.raises(DependencyUnavailable):
        await faulty.upload(USER, "key")

    assert await world.files() == set()
    assert await world.kinds() == set()


async def test_a_deletion_that_happened_unheard_is_carried_through(
    world: World, faulty: World, server: FaultyServer
) -> None:
    image = await world.upload(USER)
    server.script = [on("deletedAt", first(faults.lost_answer, faults.lost_request))] * 200

    with pytest.raises(DependencyUnavailable):
        await faulty.repository.mark_deleted(image, utc_now())

    assert await world.repository.get(image.id) is None
    world.ahead = timedelta(days=2)  # beyond the request's own time, and no longer young
    await world.processor.drain()
    assert await world.files() == set()
    assert await world.kinds() == {"usage"}


async def test_an_outbox_step_that_happened_unheard_does_no_harm(
    world: World, faulty: World, server: FaultyServer
) -> None:
    image = await world.upload(USER)
    await world.repository.mark_deleted(image, utc_now())
    faulty.ahead = timedelta(days=2)
    server.script = [on("OUTBOX#", first(faults.lost_answer, faults.lost_request))] * 200
    await faulty.processor.round()
    server.script = []

    world.ahead = faulty.ahead * 10  # leases are over
    await world.processor.drain()

    assert (await world.files(), await world.kinds()) == (set(), {"usage"})


async def test_a_claim_that_meets_the_commit_of_another_is_told_to_wait(
    world: World, faulty: World, server: FaultyServer
) -> None:
    server.script = [faults.refusal("TransactionConflictException")]

    with pytest.raises(IdempotencyInProgress):
        await faulty.upload(USER, "key")


async def test_an_entry_that_another_is_moving_on_is_left_to_it(
    world: World, faulty: World, server: FaultyServer
) -> None:
    await world.repository.mark_deleted(await world.upload(USER), utc_now())
    faulty.ahead = world.ahead * 10

    async def conflict(server: FaultyServer, request: bytes) -> bytes:
        if b"leaseOwner" not in request:
            return await server.forward(request)
        answer: bytes = await faults.refusal("TransactionConflictException")(server, request)
        return answer

    server.script = [conflict] * 40
    assert await faulty.processor.round() == 0
    server.script = []
    assert await faulty.processor.round() == 1


async def test_a_note_that_grows_as_it_is_taken_is_taken_whole(
    world: World, faulty: World, server: FaultyServer
) -> None:
    at = utc_now()
    await world.outbox.add_cache_purge(USER, "first", at)

    async def grown(server: FaultyServer, request: bytes) -> bytes:
        if b"leaseOwner" in request:
            await world.outbox.add_cache_purge(USER, "second", at)
        return await server.forward(request)

    server.script = [grown] * 20
    later = at + timedelta(seconds=10)
    lease = Lease("me", later + timedelta(seconds=60))
    (note,) = await faulty.outbox.take(OutboxQueue.CACHE, lease, later, 10)

    assert note.work == CachePurge(USER, frozenset({"first", "second"}))
    assert await world.outbox.replace([note], None)


async def test_a_note_that_meets_its_own_end_is_written_all_the_same(
    world: World, faulty: World, server: FaultyServer
) -> None:
    """A worker is removing it at that very moment."""
    server.script = [
        faults.refusal("TransactionConflictException"),
        faults.refusal("TransactionCanceledException", reasons=("TransactionConflict",)),
    ]
    at = utc_now()
    await faulty.outbox.add_cache_purge(USER, "image", at)

    later = at + timedelta(seconds=10)
    (note,) = await world.outbox.take(OutboxQueue.CACHE, Lease("me", later), later, 10)
    assert note.work == CachePurge(USER, frozenset({"image"}))
