"""The doctor's findings on the table and on the credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests import engines
from tests.integration.doctor_runs import doctor, examined, local_stack, systems
from tests.integration.faults import Fault, FaultyServer, passed_on, refusal

from image_service.devstack.issuer import LocalIssuer
from image_service.tools.doctor import table
from image_service.tools.doctor.findings import Verdict
from image_service.tools.doctor.runner import Look

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    return await local_stack(emulator, issuer, unique)


class TestTable:
    async def test_a_missing_and_a_poor_index(
        self, environment: dict[str, str], emulator: str, unique: str
    ):
        name = f"Poor-{unique}"
        async with engines.dynamodb_client(emulator) as client:
            await client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": attribute, "AttributeType": "S"}
                    for attribute in ("PK", "SK", "GSI1PK", "GSI1SK")
                ],
                KeySchema=[
                    {"AttributeName": "PK", "KeyType": "HASH"},
                    {"AttributeName": "SK", "KeyType": "RANGE"},
                ],
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": "UserIndex",
                        "KeySchema": [
                            {"AttributeName": "GSI1PK", "KeyType": "HASH"},
                            {"AttributeName": "GSI1SK", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                ],
            )
        told = await doctor(environment | {"IMAGE_SERVICE_TABLE_NAME": name})

        assert told.status == 1
        assert told.failed() == {"index UserIndex", "index AlbumIndex", "table read"}
        assert "dynamodb:Query on AlbumIndex fails (" in told.lines["table read"]
        assert "KEYS_ONLY" in told.lines["index UserIndex"]
        assert "no such index" in told.lines["index AlbumIndex"]
        assert "partition key GSI2PK, sort key GSI2SK" in told.lines["index AlbumIndex"]
        assert "table ttl" in told.only_aws()

    async def test_a_table_of_something_else(
        self, environment: dict[str, str], emulator: str, unique: str
    ):
        name = f"Other-{unique}"
        async with engines.dynamodb_client(emulator) as client:
            await client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )
        told = await doctor(environment | {"IMAGE_SERVICE_TABLE_NAME": name})

        assert "not keyed by the texts PK and SK" in told.lines["table"]

    async def test_keys_of_another_type_and_a_ttl_elsewhere(
        self, environment: dict[str, str], emulator: str, unique: str
    ):
        async with engines.dynamodb_client(emulator) as client:
            await make_like(client, environment, f"Keys-{unique}", numbers={"PK"})
            await make_like(client, environment, f"Indexes-{unique}", numbers={"GSI1PK", "GSI2SK"})
            await client.update_time_to_live(
                TableName=f"Indexes-{unique}",
                TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"},
            )
        told = await doctor(environment | {"IMAGE_SERVICE_TABLE_NAME": f"Keys-{unique}"})
        assert "not keyed by the texts PK and SK" in told.lines["table"]

        told = await doctor(environment | {"IMAGE_SERVICE_TABLE_NAME": f"Indexes-{unique}"})
        assert {"index UserIndex", "index AlbumIndex"} <= told.failed()
        assert "is not keyed by the texts GSI1PK and GSI1SK" in told.lines["index UserIndex"]
        assert "is not keyed by the texts GSI2PK and GSI2SK" in told.lines["index AlbumIndex"]
        assert "table ttl" in told.only_aws()

    async def test_in_another_region(self, environment: dict[str, str]):
        told = await doctor(environment | {"AWS_REGION": "eu-west-1"})

        assert (told.status, told.failed()) == (1, {"table", "table read"})
        assert "eu-west-1" in told.lines["table"]
        assert "check IMAGE_SERVICE_TABLE_NAME and AWS_REGION" in told.lines["table"]


async def make_like(
    client: DynamoDBClient, environment: dict[str, str], name: str, *, numbers: set[str]
) -> None:
    """The table once more, but for the types of some keys."""
    described = await client.describe_table(TableName=environment["IMAGE_SERVICE_TABLE_NAME"])
    original: Any = described["Table"]
    await client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=original["KeySchema"],
        AttributeDefinitions=[
            one | {"AttributeType": "N" if one["AttributeName"] in numbers else "S"}
            for one in original["AttributeDefinitions"]
        ],
        GlobalSecondaryIndexes=[
            {part: one[part] for part in ("IndexName", "KeySchema", "Projection")}
            for one in original["GlobalSecondaryIndexes"]
        ],
    )


class TestCredentials:
    async def test_none(self, environment: dict[str, str]):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del environment[name]

        told = await doctor(environment)

        assert told.status == 1
        assert told.failed() == {"credentials", "table", "table read", "bucket"}
        assert "there are no AWS credentials" in told.lines["credentials"]
        assert "AWS_PROFILE" in told.lines["credentials"]

    async def test_refused(self, environment: dict[str, str], emulator: str):
        environment |= {
            "AWS_SECRET_ACCESS_KEY": "planted-secret",
            "AWS_SESSION_TOKEN": "planted-secret",
        }
        async with always(refusal("ExpiredTokenException"), emulator) as url:
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})

        assert told.failed() == {"credentials", "table", "table read"}
        assert "AWS refuses the credentials (ExpiredTokenException)" in told.lines["credentials"]
        assert "renew them" in told.lines["credentials"]
        for word in ("planted-secret", "SECRET-TABLE"):  # the second is of AWS's message
            assert word not in told.out

    async def test_that_may_not_look_at_settings(self, environment: dict[str, str], emulator: str):
        """As the task's own role: what it needs is red, what it may not see yellow."""
        denied = refusal("AccessDeniedException")
        async with always(denied, emulator) as url:
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})

        assert told.failed() == {"credentials", "table read"}
        assert "may not dynamodb:GetItem → allow it" in told.lines["credentials"]
        assert "table" in told.warned()
        assert "may not dynamodb:DescribeTable" in told.lines["table"]
        for operation in ("Query", "Query on UserIndex", "Query on AlbumIndex", "BatchGetItem"):
            assert f"may not dynamodb:{operation} →" in told.lines["table read"]


@pytest.mark.parametrize(
    ("refused", "check", "operation"),
    [
        (b'"IndexName": "AlbumIndex"', table.read, "dynamodb:Query on AlbumIndex"),
        (b"_20120810.BatchGetItem", table.read, "dynamodb:BatchGetItem"),
        (
            b"_20120810.TransactWriteItems",
            table.write,
            "dynamodb:ConditionCheckItem and UpdateItem, in a transaction",
        ),
    ],
)
async def test_a_role_that_lacks_one_right(
    environment: dict[str, str],
    emulator: str,
    refused: bytes,
    check: Look,
    operation: str,
):
    table_name = environment["IMAGE_SERVICE_TABLE_NAME"]
    async with (
        always(denying(refused), emulator) as url,
        engines.dynamodb_client(url) as client,
    ):
        [told] = await examined(check, systems(aws=client, table_name=table_name))
        assert told.verdict is Verdict.FAILED
        assert told.detail == f"the credentials may not {operation}"
        assert (await client.scan(TableName=table_name))["Count"] == 0


async def test_a_table_that_was_put_into_although_it_did_not_say_so(
    environment: dict[str, str], emulator: str
):
    server = FaultyServer(emulator)
    server.script = [answered_with(refusal("InternalServerError", status=500))] * 3
    table_name = environment["IMAGE_SERVICE_TABLE_NAME"]
    async with server.running() as url, engines.dynamodb_client(url) as client:
        [told] = await examined(table.write, systems(aws=client, table_name=table_name))
        assert told.detail == "dynamodb:PutItem fails (InternalServerError)"
        assert (await client.scan(TableName=table_name))["Count"] == 0


def answered_with(fault: Fault) -> Fault:
    """The engine acts on the request, but this is what it says."""

    async def answer(server: FaultyServer, request: bytes) -> bytes:
        await server.forward(request)
        return await fault(server, request)

    return answer


def denying(words: bytes) -> Fault:
    """Only what these words are in."""
    answer = refusal("AccessDeniedException")

    async def choose(server: FaultyServer, request: bytes) -> bytes:
        return await (answer if words in request else passed_on)(server, request)

    return choose


@asynccontextmanager
async def always(fault: Any, engine: str) -> AsyncIterator[str]:
    server = FaultyServer(engine)
    server.script = [fault] * 100
    async with server.running() as url:
        yield url
