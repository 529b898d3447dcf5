"""The short ways taken inside AWS clients come out where the long ones do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import pytest
from aiobotocore.awsrequest import AioAWSResponse
from tests import engines
from tests.contract.samples import make_image
from tests.integration import faults
from tests.integration.faults import FaultyServer
from tests.integration.table import Table

from image_service.adapters.aws.clients import aws_client
from image_service.adapters.aws.s3 import S3ObjectStore
from image_service.adapters.dynamodb import DynamoImageRepository
from image_service.devstack.aws import create_bucket
from image_service.domain.errors import DependencyUnavailable

MOVED = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"


class Body:
    """What aiobotocore reads of an answer that no network gave."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        return self._data


@pytest.mark.parametrize(
    "body", ["<html>proxy</html>", "", "[]", "[1]", '[["Item", {}]]', '""', '"text"', "null"]
)
async def test_an_answer_that_is_no_json_object_is_no_missing_image(body: str) -> None:
    """botocore's own parser takes it for an empty answer: a 404 for a live image."""
    server = FaultyServer("http://127.0.0.1:9")
    async with server.running() as url, engines.dynamodb_client(url) as client:
        server.script = [faults.json_answer(body)] * 3
        with pytest.raises(DependencyUnavailable):
            await DynamoImageRepository(client, "images").get(make_image("user").id)


async def test_answers_are_what_botocore_makes_of_them(
    table: Table, dynamodb_endpoint: str, user: str
) -> None:
    image = make_image(user, album_id="castles", tags=("a", "b"))
    await table.repository.add(image)
    session = aioboto3.Session("local", "local", region_name="us-east-1")
    key: Any = {"PK": {"S": f"IMAGE#{image.id}"}, "SK": {"S": "METADATA"}}
    query: dict[str, Any] = {
        "TableName": table.name,
        "KeyConditionExpression": "PK = :pk",
        "ExpressionAttributeValues": {":pk": key["PK"]},
    }

    async with session.client("dynamodb", endpoint_url=dynamodb_endpoint) as plain:
        for ours, theirs in (
            (table.client.get_item, plain.get_item),
            (table.client.query, plain.query),
            (table.client.batch_get_item, plain.batch_get_item),
        ):
            asked: Any = {
                "get_item": {"TableName": table.name, "Key": key},
                "query": query,
                "batch_get_item": {"RequestItems": {table.name: {"Keys": [key]}}},
            }[theirs.__name__]
            got, expected = await ours(**asked), await theirs(**asked)
            assert got.pop("ResponseMetadata")["HTTPStatusCode"] == 200
            expected.pop("ResponseMetadata")
            assert {k: v for k, v in got.items() if k in expected} == expected


async def test_requests_carry_what_dynamodb_reads_and_no_more() -> None:
    sent: list[Any] = []

    async def answer(request: Any, **_: Any) -> AioAWSResponse:
        sent.append(request)
        return AioAWSResponse(request.url, 200, {}, Body(b"{}"))

    session = aioboto3.Session("AKID", "key", "token", region_name="us-east-1")
    async with aws_client(session, "dynamodb", read_timeout=1) as client:
        client.meta.events.register("before-send.dynamodb", answer)
        await client.get_item(TableName="images", Key={"PK": {"S": "x"}})

    [request] = sent
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert "image-service/" in str(headers.pop("user-agent"))
    assert "SignedHeaders=content-type;host;x-amz-date;" in str(headers.pop("authorization"))
    assert headers.keys() == {
        "content-length",
        "content-type",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-target",
    }


# On the emulator alone: SeaweedFS has room for a few buckets only.
@pytest.fixture
async def two_stores(emulator: str, unique: str) -> AsyncIterator[list[S3ObjectStore]]:
    async with engines.s3_client(emulator) as client:
        buckets = [f"first-{unique}", f"second-{unique}"]
        for bucket in buckets:
            await create_bucket(client, bucket)
        yield [
            S3ObjectStore(client, bucket=bucket, cache_control="private", storage_class="STANDARD")
            for bucket in buckets
        ]


async def test_each_bucket_keeps_an_endpoint_of_its_own(
    two_stores: list[S3ObjectStore], emulator: str, unique: str
) -> None:
    first, second = two_stores
    for key in ("a.webp", "b.webp"):
        await first.put(key, b"first", "image/webp")
        await second.put(key, b"second", "image/webp")

    async with engines.s3_client(emulator) as client:
        for bucket in ("first", "second"):
            for key in ("a.webp", "b.webp"):
                answer = await client.get_object(Bucket=f"{bucket}-{unique}", Key=key)
                assert await answer["Body"].read() == bucket.encode()


async def test_endpoints_are_worked_out_once(emulator: str, unique: str) -> None:
    asked: list[str] = []
    async with engines.s3_client(emulator) as client:
        resolver = client._ruleset_resolver._resolver
        worked_out = resolver.construct_endpoint

        async def counted(**of: Any) -> Any:
            asked.append(of["call_args"].get("Bucket"))
            return await worked_out(**of)

        resolver.construct_endpoint = counted
        await create_bucket(client, f"once-{unique}")
        for key in ("a", "b", "c"):
            await client.put_object(Bucket=f"once-{unique}", Key=key, Body=b"x")

    assert asked == [f"once-{unique}"]


async def test_a_bucket_of_another_region_is_followed_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As S3 answers: 301 with the region, to every request that goes to the wrong one."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):  # with one, botocore follows nobody
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []

    async def answer(request: Any, **_: Any) -> AioAWSResponse:
        asked.append(urlsplit(request.url).netloc)
        if "eu-west-1" in request.url:
            return AioAWSResponse(request.url, 200, {}, Body(b""))
        headers = {"x-amz-bucket-region": "eu-west-1", "content-type": "application/xml"}
        return AioAWSResponse(request.url, 301, headers, Body(MOVED))

    session = aioboto3.Session("local", "local", region_name="us-east-1")
    async with aws_client(session, "s3", read_timeout=2) as client:
        client.meta.events.register("before-send.s3", answer)
        for key in ("a", "b", "c"):
            await client.put_object(Bucket="far-away", Key=key, Body=b"x")

    assert asked[0] == "far-away.s3.amazonaws.com"
    assert asked[-3:] == ["far-away.s3.eu-west-1.amazonaws.com"] * 3
    assert len(asked) <= 5
