"""Observation of calls to outside systems, whichever way they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests import engines
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.integration.table import Table
from tests.integration.world import World
from tests.jwks_server import JwksServer
from tests.redis_server import redis_proxy
from tests.scraping import Samples

from image_service.adapters.aws.observed import observe_calls
from image_service.adapters.cognito.observed_http import ObservedClient
from image_service.adapters.dynamodb import DynamoBacklog, DynamoHealth, keys
from image_service.adapters.redis import RedisWindows, open_redis
from image_service.devstack.aws import create_table
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.outbox import CachePurge, Lane, OutboxEntry
from image_service.telemetry.metrics import Telemetry
from image_service.telemetry.observers import CallOutcome

WINDOW = [("requests", 10, 60)]


class Calls:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, CallOutcome, int]] = []
        self.seconds: list[float] = []

    def __call__(
        self, service: str, operation: str, outcome: CallOutcome, seconds: float, retries: int = 0
    ) -> None:
        self.told.append((service, operation, outcome, retries))
        self.seconds.append(seconds)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def server(dynamodb_endpoint: str) -> FaultyServer:
    return FaultyServer(dynamodb_endpoint)


@pytest.fixture
async def health(
    server: FaultyServer, dynamodb_endpoint: str, calls: Calls
) -> AsyncIterator[DynamoHealth]:
    async with engines.dynamodb_client(dynamodb_endpoint) as patient:
        await create_table(patient, "ImageMetadata-observed")
        await DynamoHealth(patient, "ImageMetadata-observed").ping()
    async with server.running() as url, engines.dynamodb_client(url, 1) as client:
        observe_calls(client, "dynamodb", calls)
        yield DynamoHealth(client, "ImageMetadata-observed")


async def test_a_call_that_succeeds_at_the_second_try(
    server: FaultyServer, health: DynamoHealth, calls: Calls
):
    server.script = [faults.refusal("InternalServerError", status=500)]
    await health.ping()
    assert calls.told == [("dynamodb", "GetItem", "ok", 1)]


@pytest.mark.parametrize(
    ("script", "outcome", "retries"),
    [
        ([faults.refusal("ResourceNotFoundException")], "refused", 0),
        ([faults.refusal("ThrottlingException")] * 3, "throttled", 2),
        ([faults.refusal("ServiceUnavailable", status=503)] * 3, "failed", 2),
        ([faults.lost_request] * 3, "unanswered", 0),  # botocore doesn't say how often it tried
        ([faults.silence] * 3, "unanswered", 0),
    ],
)
async def test_a_call_that_fails_for_good(
    server: FaultyServer, health: DynamoHealth, calls: Calls, script: Any, outcome, retries
):
    server.script = list(script)
    with pytest.raises(DependencyUnavailable):
        await health.ping()
    assert calls.told == [("dynamodb", "GetItem", outcome, retries)]


async def test_a_call_that_is_given_up(server: FaultyServer, health: DynamoHealth, calls: Calls):
    server.script = [faults.silence]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(health.ping(), 0.2)
    assert calls.told == [("dynamodb", "GetItem", "cancelled", 0)]
    assert 0.15 < calls.seconds[0] < 5


CANCELLED = "TransactionCanceledException"


@pytest.mark.parametrize(
    ("reasons", "outcome"),
    [
        (("None", "ThrottlingError"), "throttled"),
        (("ProvisionedThroughputExceeded",), "throttled"),
        (("TransactionConflict", "None"), "refused"),
        (("None", "ConditionalCheckFailed"), "refused"),
    ],
)
async def test_a_transaction_is_throttled_where_one_of_its_items_is(
    server: FaultyServer, calls: Calls, reasons: tuple[str, ...], outcome: CallOutcome
):
    server.script = [faults.refusal(CANCELLED, reasons=reasons)]
    async with server.running() as url, engines.dynamodb_client(url) as client:
        observe_calls(client, "dynamodb", calls)
        put: Any = {"Put": {"TableName": "any", "Item": {"PK": {"S": "A"}}}}
        with pytest.raises(client.exceptions.TransactionCanceledException):
            await client.transact_write_items(TransactItems=[put])
    assert calls.told == [("dynamodb", "TransactWriteItems", outcome, 0)]


async def test_all_retries_show(server: FaultyServer):
    telemetry = Telemetry()
    async with server.running() as url, engines.dynamodb_client(url) as client:
        await create_table(client, "ImageMetadata-retried")
        observe_calls(client, "dynamodb", telemetry.observers.calls)
        for failures in (2, 1):
            server.script = [faults.refusal("InternalServerError", status=500)] * failures
            await DynamoHealth(client, "ImageMetadata-retried").ping()
    samples = Samples.of(telemetry)
    called = {"service": "dynamodb", "operation": "GetItem"}
    assert samples("dependency_retries_total", **called) == 3
    assert samples("dependency_call_seconds_count", **called, outcome="ok") == 2


async def test_redis(redis_url: str, unique: str, calls: Calls):
    async with (
        redis_proxy(redis_url) as proxy,
        open_redis(proxy.own_url, within=0.5, observer=calls) as link,
    ):
        windows = RedisWindows(link)
        await windows.hit(unique, WINDOW)
        proxy.silent = True
        for _ in range(8):  # the breaker keeps the last three from it
            with pytest.raises(DependencyUnavailable):
                await windows.hit(unique, WINDOW)
    assert calls.told == [("redis", "count", "ok", 0)] + [("redis", "count", "unanswered", 0)] * 5


async def test_fetching_keys(calls: Calls):
    async with JwksServer({"keys": []}) as server, ObservedClient("jwks", calls) as client:
        async with client.stream("GET", server.url) as response:
            await response.aread()
        server.status = 500
        await client.get(server.url)
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get(server.url)
    assert calls.told == [("jwks", "GET", outcome, 0) for outcome in ("ok", "failed", "unanswered")]


async def test_the_backlog_is_counted_and_aged(world: World):
    table: Table = world.table
    backlog = DynamoBacklog(table.client, table.name)
    now = world.now()
    empty = await backlog.measure(now)
    assert (empty.waiting, empty.oldest_age, empty.set_aside) == (0, 0, 0)

    for minutes in (0, 5, 90):
        at = now - timedelta(minutes=minutes)
        await world.outbox.add(
            OutboxEntry.new(CachePurge("alice", frozenset({f"image-{minutes}"})), at)
        )
    await world.outbox.add(
        OutboxEntry.new(CachePurge("alice", frozenset({"not due yet"})), now + timedelta(minutes=5))
    )
    found = await backlog.measure(now)
    assert (found.waiting, found.set_aside) == (3, 0)
    assert found.oldest_age == pytest.approx(90 * 60, abs=1)


async def test_an_entry_that_is_put_off_stays_as_old_as_it_is(world: World):
    backlog = DynamoBacklog(world.table.client, world.table.name)
    now = world.now()
    entry = OutboxEntry.new(CachePurge("alice", frozenset({"image"})), now - timedelta(hours=3))
    await world.outbox.add(entry)
    put_off = OutboxEntry(id=entry.id, due_at=now + timedelta(minutes=30), work=entry.work, tries=9)
    assert await world.outbox.replace([entry], put_off)
    assert (await backlog.measure(now)).oldest_age == pytest.approx(3 * 3600, abs=1)
    assert await world.outbox.set_aside(put_off)
    found = await backlog.measure(now)
    assert (found.waiting, found.oldest_age, found.set_aside) == (0, 0, 1)


@pytest.mark.parametrize(
    ("place", "age"),
    [
        ("2026-01-31T09:30:00.000Z#no-ulid", 60),
        ("2026-01-31T09:30:00.000Z#8ZZZZZZZZZZZZZZZZZZZZZZZZZ", 60),
        ("2026-01-31T09:30:00.000Z#7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 60),  # in the year 10889
        ("2026-01-31T09:32:00.000Z#due-later", 0),
        ("anything", 0),
        ("anything#no-ulid", 0),
    ],
)
async def test_an_entry_that_nobody_can_read_counts_like_any(world: World, place: str, age: float):
    table: Table = world.table
    now = datetime(2026, 1, 31, 9, 31, tzinfo=UTC)
    for partition in (keys.outbox_partition(Lane.FILES, 0), keys.SET_ASIDE):
        item = {"PK": {"S": partition}, "SK": {"S": place}}
        await table.client.put_item(TableName=table.name, Item=item)
    found = await DynamoBacklog(table.client, table.name).measure(now)
    due = int("due-later" not in place)
    assert (found.waiting, found.set_aside) == (due, 1)
    assert found.oldest_age == age

    older = OutboxEntry.new(CachePurge("alice", frozenset({"image"})), now - timedelta(minutes=5))
    await world.outbox.add(older)
    found = await DynamoBacklog(table.client, table.name).measure(now)
    assert (found.waiting, found.oldest_age) == (due + 1, 300)


async def test_a_measurement_that_fails_leaves_no_call_behind(server: FaultyServer, calls: Calls):
    """It would go on after the client is closed."""
    server.script = [faults.refusal("AccessDeniedException")] + [faults.silence] * 100
    async with server.running() as url, engines.dynamodb_client(url, 0.2) as client:
        observe_calls(client, "dynamodb", calls)
        with pytest.raises(DependencyUnavailable):
            await DynamoBacklog(client, "any").measure(datetime.now(UTC))
        assert len(calls.told) == len(Lane) * keys.SHARDS + 1


async def test_measuring_a_long_backlog_is_bounded(world: World):
    now = world.now()
    for _ in range(300):
        entry = OutboxEntry.new(CachePurge("alice", frozenset({"one-user-one-shard"})), now)
        await world.outbox.add(entry)
    found = await DynamoBacklog(world.table.client, world.table.name).measure(now)
    assert found.waiting == 250
