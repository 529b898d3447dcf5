"""Measured calls of outside systems, whichever way they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
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

from image_service.adapters.aws.clients import measure_calls
from image_service.adapters.cognito.jwks import download_keys
from image_service.adapters.dynamodb import DynamoBacklog, DynamoHealth, keys
from image_service.adapters.redis import RedisWindows, open_redis
from image_service.devstack.aws import create_table
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.outbox import CachePurge, OutboxEntry, OutboxQueue
from image_service.telemetry.metrics import CallOutcome
from image_service.telemetry.telemetry import Telemetry

WINDOW = [("requests", 10, 60)]


class Calls:
    """Reads what was counted, as a scraper does."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()

    @property
    def counted(self) -> dict[tuple[str, str, str], float]:
        """By service, operation and outcome."""
        name = "image_service_dependency_call_seconds_count"
        return {
            (labels["service"], labels["operation"], labels["outcome"]): value
            for (series, given), value in Samples.of(self.telemetry).values.items()
            if series == name and (labels := dict(given))
        }

    @property
    def retries(self) -> float:
        values = Samples.of(self.telemetry).values
        name = "image_service_dependency_retries_total"
        return sum(value for (series, _), value in values.items() if series == name)


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
        await create_table(patient, "ImageMetadata-measured")
        await DynamoHealth(patient, "ImageMetadata-measured").ping()
    async with server.running() as url, engines.dynamodb_client(url, 1) as client:
        measure_calls(client, "dynamodb", calls.telemetry)
        yield DynamoHealth(client, "ImageMetadata-measured")


async def test_a_call_that_succeeds_at_the_second_try(
    server: FaultyServer, health: DynamoHealth, calls: Calls
):
    server.script = [faults.refusal("InternalServerError", status=500)]
    await health.ping()
    assert (calls.counted, calls.retries) == ({("dynamodb", "GetItem", "ok"): 1}, 1)


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
    assert (calls.counted, calls.retries) == ({("dynamodb", "GetItem", outcome): 1}, retries)


async def test_a_call_that_is_given_up(server: FaultyServer, health: DynamoHealth, calls: Calls):
    server.script = [faults.silence]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(health.ping(), 0.2)
    called = {"service": "dynamodb", "operation": "GetItem", "outcome": "cancelled"}
    assert calls.counted == {tuple(called.values()): 1}
    assert Samples.of(calls.telemetry)("dependency_call_seconds_sum", **called) > 0.15


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
        measure_calls(client, "dynamodb", calls.telemetry)
        put: Any = {"Put": {"TableName": "any", "Item": {"PK": {"S": "A"}}}}
        with pytest.raises(client.exceptions.TransactionCanceledException):
            await client.transact_write_items(TransactItems=[put])
    assert calls.counted == {("dynamodb", "TransactWriteItems", outcome): 1}


async def test_all_retries_show(server: FaultyServer, calls: Calls):
    async with server.running() as url, engines.dynamodb_client(url) as client:
        await create_table(client, "ImageMetadata-retried")
        measure_calls(client, "dynamodb", calls.telemetry)
        for failures in (2, 1):
            server.script = [faults.refusal("InternalServerError", status=500)] * failures
            await DynamoHealth(client, "ImageMetadata-retried").ping()
    assert (calls.counted, calls.retries) == ({("dynamodb", "GetItem", "ok"): 2}, 3)


async def test_redis(redis_url: str, unique: str, calls: Calls):
    async with (
        redis_proxy(redis_url) as proxy,
        open_redis(proxy.own_url, within=0.5, telemetry=calls.telemetry) as link,
    ):
        windows = RedisWindows(link)
        await windows.hit(unique, WINDOW)
        proxy.silent = True
        for _ in range(8):  # the breaker keeps the last three from it
            with pytest.raises(DependencyUnavailable):
                await windows.hit(unique, WINDOW)
    assert calls.counted == {
        ("redis", "count", "ok"): 1,
        ("redis", "count", "unanswered"): 5,
    }


async def test_fetching_keys(calls: Calls):
    fetch = partial(download_keys, within=5, telemetry=calls.telemetry)
    async with JwksServer({"keys": []}) as server, httpx.AsyncClient() as client:
        await fetch(client, server.url)
        server.status = 500
        with pytest.raises(ValueError, match="500"):
            await fetch(client, server.url)
        await server.stop()
        with pytest.raises(httpx.ConnectError):
            await fetch(client, server.url)
    assert calls.counted == {
        ("jwks", "GET", outcome): 1 for outcome in ("ok", "failed", "unanswered")
    }


async def test_the_backlog_is_counted_and_aged(world: World):
    table: Table = world.table
    backlog = DynamoBacklog(table.client, table.name)
    now = world.now()
    empty = await backlog.measure(now)
    assert (empty.waiting, empty.oldest_age, empty.dead_letters) == (0, 0, 0)

    for minutes in (0, 5, 90):
        at = now - timedelta(minutes=minutes)
        await world.outbox.add(
            OutboxEntry.new(CachePurge("alice", frozenset({f"image-{minutes}"})), at)
        )
    await world.outbox.add(
        OutboxEntry.new(CachePurge("alice", frozenset({"not due yet"})), now + timedelta(minutes=5))
    )
    found = await backlog.measure(now)
    assert (found.waiting, found.dead_letters) == (3, 0)
    assert found.oldest_age == pytest.approx(90 * 60, abs=1)


async def test_an_entry_that_is_put_off_stays_as_old_as_it_is(world: World):
    backlog = DynamoBacklog(world.table.client, world.table.name)
    now = world.now()
    entry = OutboxEntry.new(CachePurge("alice", frozenset({"image"})), now - timedelta(hours=3))
    await world.outbox.add(entry)
    put_off = OutboxEntry(id=entry.id, due_at=now + timedelta(minutes=30), work=entry.work, tries=9)
    assert await world.outbox.replace([entry], put_off)
    assert (await backlog.measure(now)).oldest_age == pytest.approx(3 * 3600, abs=1)
    assert await world.outbox.give_up(put_off)
    found = await backlog.measure(now)
    assert (found.waiting, found.oldest_age, found.dead_letters) == (0, 0, 1)


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
    for partition in (keys.outbox_partition(OutboxQueue.FILES, 0), keys.DEAD_LETTERS):
        item = {"PK": {"S": partition}, "SK": {"S": place}}
        await table.client.put_item(TableName=table.name, Item=item)
    found = await DynamoBacklog(table.client, table.name).measure(now)
    due = int("due-later" not in place)
    assert (found.waiting, found.dead_letters) == (due, 1)
    assert found.oldest_age == age

    older = OutboxEntry.new(CachePurge("alice", frozenset({"image"})), now - timedelta(minutes=5))
    await world.outbox.add(older)
    found = await DynamoBacklog(table.client, table.name).measure(now)
    assert (found.waiting, found.oldest_age) == (due + 1, 300)


async def test_a_measurement_that_fails_leaves_no_call_behind(server: FaultyServer, calls: Calls):
    """It would go on after the client is closed."""
    server.script = [faults.refusal("AccessDeniedException")] + [faults.silence] * 100
    async with server.running() as url, engines.dynamodb_client(url, 0.2) as client:
        measure_calls(client, "dynamodb", calls.telemetry)
        with pytest.raises(DependencyUnavailable):
            await DynamoBacklog(client, "any").measure(datetime.now(UTC))
        assert sum(calls.counted.values()) == len(OutboxQueue) * keys.SHARDS + 1


async def test_measuring_a_long_backlog_is_bounded(world: World):
    now = world.now()
    for _ in range(300):
        entry = OutboxEntry.new(CachePurge("alice", frozenset({"one-user-one-shard"})), now)
        await world.outbox.add(entry)
    found = await DynamoBacklog(world.table.client, world.table.name).measure(now)
    assert found.waiting == 250
