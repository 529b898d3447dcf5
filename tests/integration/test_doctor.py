"""`image-service doctor` as it is typed, on stacks with something wrong with them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests import engines
from tests.integration.faults import FaultyServer, refusal
from tests.jwks_server import JwksServer

from image_service.adapters.cdn_check import CdnCheck
from image_service.adapters.cloudfront_check import DistributionCheck
from image_service.adapters.cognito_check import SigningKeysCheck
from image_service.adapters.s3_probes import ClockCheck
from image_service.devstack import stack
from image_service.devstack.issuer import LocalIssuer
from image_service.domain.diagnosis import Stakes

STRICT = Stakes(production=True, emulated=False)
NOBODY = "http://127.0.0.1:9"
OF_THE_EMULATOR = {"bucket access", "bucket policy", "bucket versioning", "bucket lifecycle"}


class Told(NamedTuple):
    """What the command said; `lines` by check, each with its mark."""

    status: int
    lines: dict[str, str]
    out: str

    def failed(self) -> set[str]:
        return {check for check, line in self.lines.items() if line.startswith("✗")}

    def warned(self) -> set[str]:
        return {check for check, line in self.lines.items() if line.startswith("!")}


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    """A local stack with table and bucket of its own."""
    names = {
        "IMAGE_SERVICE_TABLE_NAME": f"Doctor-{unique}",
        "IMAGE_SERVICE_BUCKET": f"doctor-{unique}",
    }
    await stack.provision(
        emulator,
        issuer,
        table_name=names["IMAGE_SERVICE_TABLE_NAME"],
        bucket=names["IMAGE_SERVICE_BUCKET"],
    )
    return {
        **os.environ,
        **stack.WITHOUT_PROXY,
        **stack.aws_environment(emulator),
        **stack.service_environment(emulator),
        **names,
        "IMAGE_SERVICE_CDN_BASE_URL": f"{emulator}/{names['IMAGE_SERVICE_BUCKET']}",
    }


async def run(environment: dict[str, str], *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "image-service"),
        *("doctor", *options),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    assert process.returncode is not None
    return process.returncode, out.decode()


async def doctor(environment: dict[str, str], *options: str) -> Told:
    status, out = await run(environment, *options)
    lines: dict[str, str] = {}
    for line in out.splitlines():
        mark, _, rest = line.partition(" ")
        assert mark in {"✓", "!", "✗"}, line
        assert ("→" in line) == (mark != "✓"), line  # a remedy exactly where one is needed
        check = rest.split("  ")[0]
        lines[check] = line if check not in lines else f"{lines[check]}\n{line}"
    return Told(status, lines, out)


async def test_all_is_well(environment: dict[str, str]):
    told = await doctor(environment)

    assert (told.status, told.failed()) == (0, set()), told.out
    assert told.warned() == OF_THE_EMULATOR
    assert all("fine on an emulator" in told.lines[check] for check in OF_THE_EMULATOR)
    assert list(told.lines) == [
        *("settings", "credentials"),
        *("table", "index UserIndex", "index AlbumIndex"),
        *("table ttl", "table recovery", "table encryption"),
        *("bucket", "bucket access", "bucket policy", "bucket versioning", "bucket lifecycle"),
        *("bucket encryption", "clock", "jwks", "redis", "cdn", "cloudfront"),
        *("libvips", "workers", "memory"),
    ]
    assert "disabled" in told.lines["redis"]
    assert "1 RS256" in told.lines["jwks"]
    assert "404" in told.lines["cdn"]


async def test_it_writes_only_when_told_and_clears_it_away(
    environment: dict[str, str], emulator: str
):
    told = await doctor(environment, "--write")

    assert told.status == 0, told.out
    assert {"table write", "bucket write"} <= set(told.lines)
    async with engines.dynamodb_client(emulator) as dynamodb, engines.s3_client(emulator) as s3:
        items = await dynamodb.scan(TableName=environment["IMAGE_SERVICE_TABLE_NAME"])
        files = await s3.list_objects_v2(Bucket=environment["IMAGE_SERVICE_BUCKET"])
    assert (items["Count"], files["KeyCount"]) == (0, 0)


async def test_json_for_machines(environment: dict[str, str]):
    status, out = await run(environment | {"IMAGE_SERVICE_JWKS_URL": NOBODY}, "--json")

    told = json.loads(out)
    assert (status, told["healthy"]) == (1, False)
    by_check = {finding["check"]: finding for finding in told["findings"]}
    assert by_check["table"]["status"] == "ok"
    assert by_check["table"]["remedy"] is None
    assert by_check["bucket access"]["status"] == "warning"
    assert by_check["jwks"]["status"] == "failed"
    assert "IMAGE_SERVICE_JWKS_URL" in by_check["jwks"]["remedy"]
    assert set(by_check["table"]) == {"check", "status", "detail", "remedy"}


async def test_settings_are_told_all_at_once(environment: dict[str, str]):
    for name in ("IMAGE_SERVICE_BUCKET", "AWS_REGION", "AWS_DEFAULT_REGION"):
        del environment[name]
    environment |= {
        "IMAGE_SERVICE_PORT": "many",
        "IMAGE_SERVICE_REDIS_URL": "redis//:planted-secret@h",
    }

    told = await doctor(environment)

    assert told.status == 2
    assert set(told.lines) == {"settings"}
    for name in ("SERVICE_BUCKET", "SERVICE_PORT", "SERVICE_REDIS_URL", "AWS_REGION"):
        assert name in told.out
    assert len(told.out.splitlines()) == 4
    assert "planted-secret" not in told.out


async def test_everything_is_down_and_nothing_stops_the_rest(environment: dict[str, str]):
    told = await doctor(
        environment
        | {
            "AWS_ENDPOINT_URL_S3": NOBODY,
            "AWS_ENDPOINT_URL_DYNAMODB": NOBODY,
            "IMAGE_SERVICE_JWKS_URL": f"{NOBODY}/jwks.json",
            "IMAGE_SERVICE_CDN_BASE_URL": "https://nowhere.invalid",
            "IMAGE_SERVICE_REDIS_URL": "redis://:planted-secret@127.0.0.1:9",
        },
        "--write",
    )

    assert told.status == 1
    assert told.failed() == {
        *("credentials", "table", "bucket", "table write", "bucket write"),
        *("jwks", "redis", "cdn"),
    }
    for check in ("credentials", "table", "bucket", "table write", "bucket write"):
        assert "127.0.0.1:9 does not answer (EndpointConnectionError)" in told.lines[check]
        assert "AWS_ENDPOINT_URL" in told.lines[check]
    assert "refuses connections" in told.lines["jwks"]
    assert "IMAGE_SERVICE_JWKS_URL" in told.lines["jwks"]
    assert "does not answer" in told.lines["redis"]
    assert "IMAGE_SERVICE_REDIS_URL" in told.lines["redis"]
    assert "its name does not resolve" in told.lines["cdn"]
    assert "IMAGE_SERVICE_CDN_BASE_URL" in told.lines["cdn"]
    assert {"clock", *OF_THE_EMULATOR} & told.warned() == {"clock"}
    assert told.lines["libvips"].startswith("✓")
    assert "planted-secret" not in told.out


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
        assert told.failed() == {"index UserIndex", "index AlbumIndex"}
        assert "KEYS_ONLY" in told.lines["index UserIndex"]
        assert "no such index" in told.lines["index AlbumIndex"]
        assert "partition key GSI2PK, sort key GSI2SK" in told.lines["index AlbumIndex"]
        assert {"table ttl", "table recovery"} <= told.warned()

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

        assert "not keyed by PK and SK" in told.lines["table"]

    async def test_in_another_region(self, environment: dict[str, str]):
        told = await doctor(environment | {"AWS_REGION": "eu-west-1"})

        assert (told.status, told.failed()) == (1, {"table"})
        assert "eu-west-1" in told.lines["table"]
        assert "check IMAGE_SERVICE_TABLE_NAME and AWS_REGION" in told.lines["table"]


class TestCredentials:
    async def test_none(self, environment: dict[str, str]):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del environment[name]

        told = await doctor(environment)

        assert told.status == 1
        assert told.failed() == {"credentials", "table", "bucket"}
        assert "there are no AWS credentials" in told.lines["credentials"]
        assert "AWS_PROFILE" in told.lines["credentials"]

    async def test_refused(self, environment: dict[str, str], emulator: str):
        environment |= {
            "AWS_SECRET_ACCESS_KEY": "planted-secret",
            "AWS_SESSION_TOKEN": "planted-secret",
        }
        async with always(refusal("ExpiredTokenException"), emulator) as url:
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})

        assert told.failed() == {"credentials", "table"}
        assert "AWS refuses the credentials (ExpiredTokenException)" in told.lines["credentials"]
        assert "renew them" in told.lines["credentials"]
        for word in ("planted-secret", "SECRET-TABLE"):  # the second is of AWS's message
            assert word not in told.out

    async def test_that_may_not_look_at_settings(self, environment: dict[str, str], emulator: str):
        """As the task's own role: what it needs is red, what it may not see yellow."""
        denied = refusal("AccessDeniedException")
        async with always(denied, emulator) as url:
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})

        assert told.failed() == {"credentials"}
        assert "may not dynamodb:GetItem → allow it" in told.lines["credentials"]
        assert "table" in told.warned()
        assert "may not dynamodb:DescribeTable" in told.lines["table"]


@asynccontextmanager
async def always(fault: Any, engine: str) -> AsyncIterator[str]:
    server = FaultyServer(engine)
    server.script = [fault] * 50
    async with server.running() as url:
        yield url


class TestBucket:
    async def test_missing(self, environment: dict[str, str]):
        told = await doctor(environment | {"IMAGE_SERVICE_BUCKET": "not-there"}, "--write")

        assert (told.status, told.failed()) == (1, {"bucket", "bucket write"})
        assert "there is no bucket not-there" in told.lines["bucket"]
        assert "IMAGE_SERVICE_BUCKET" in told.lines["bucket"]
        assert "NoSuchBucket" in told.lines["bucket write"]

    async def test_production_is_strict(self, environment: dict[str, str], emulator: str):
        environment["IMAGE_SERVICE_STAGE"] = "prod"

        told = await doctor(environment)

        assert told.failed() == {
            *("table deletion", "bucket access", "bucket policy", "bucket versioning"),
            "bucket lifecycle",
        }
        assert told.warned() == {"cors", "cloudfront"}
        await protect(environment, emulator)
        told = await doctor(environment | {"IMAGE_SERVICE_CORS_ORIGINS": "https://a.example"})
        assert (told.status, told.failed()) == (0, set()), told.out
        assert told.warned() == {"cloudfront"}


async def protect(environment: dict[str, str], emulator: str) -> None:
    """As terraform/modules/storage does."""
    bucket = environment["IMAGE_SERVICE_BUCKET"]
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    async with engines.dynamodb_client(emulator) as dynamodb, engines.s3_client(emulator) as s3:
        await dynamodb.update_table(
            TableName=environment["IMAGE_SERVICE_TABLE_NAME"], DeletionProtectionEnabled=True
        )
        await s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        await s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        await s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "temp",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "temp/"},
                        "Expiration": {"Days": 1},
                    },
                    {
                        "ID": "old",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 14},
                    },
                ]
            },
        )
        await s3.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        )


@pytest.mark.parametrize(
    ("seconds", "verdict", "word"),
    [
        (150, "failed", "behind"),
        (-150, "failed", "ahead"),
        (30, "warning", "behind"),
        (0, "ok", ""),
    ],
)
async def test_a_clock_that_is_off(seconds: int, verdict: str, word: str):
    async with JwksServer() as s3:
        s3.body = b""
        s3.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))
        url = s3.url.removesuffix("/.well-known/jwks.json")
        async with engines.s3_client(url) as client:
            [told] = await ClockCheck(client, "bucket").examine()
    assert told.verdict == verdict
    assert word in told.detail
    assert told.remedy is None or "NTP" in told.remedy


async def test_the_command_looks_at_the_clock(environment: dict[str, str]):
    async with JwksServer() as s3:
        s3.body = b""
        s3.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(hours=1))
        url = s3.url.removesuffix("/.well-known/jwks.json")
        told = await doctor(environment | {"AWS_ENDPOINT_URL_S3": url})
    assert "clock" in told.failed()
    assert "NTP" in told.lines["clock"]


async def test_a_jwks_and_a_cdn_that_answer_something_else(
    environment: dict[str, str], issuer: LocalIssuer
):
    [key] = issuer.jwks()["keys"]
    async with JwksServer({"keys": [key | {"alg": "RS512"}]}) as server:
        base_url = f"http://someone:planted-secret@127.0.0.1:{server.port}"
        told = await doctor(
            environment
            | {"IMAGE_SERVICE_JWKS_URL": server.url, "IMAGE_SERVICE_CDN_BASE_URL": base_url}
        )
    assert told.failed() == {"jwks", "cdn"}
    assert "no usable RS256 key" in told.lines["jwks"]
    assert "IMAGE_SERVICE_COGNITO_ISSUER" in told.lines["jwks"]
    assert "answers 200 for a missing picture" in told.lines["cdn"]
    assert "/images/*.webp goes to the bucket" in told.lines["cdn"]
    assert "planted-secret" not in told.out


async def test_a_cdn_that_is_the_api():
    async with JwksServer() as server, httpx.AsyncClient(trust_env=False) as http:
        server.status = 401
        [told] = await CdnCheck(http, f"http://127.0.0.1:{server.port}", STRICT).examine()
        assert (told.verdict, "that is the API's answer" in told.detail) == ("failed", True)
        [told] = await SigningKeysCheck(http, server.url).examine()
        assert (told.verdict, "answers 401" in told.detail) == ("failed", True)


async def test_a_cdn_on_loopback_may_be_the_browsers():
    emulated = Stakes(production=False, emulated=True)
    async with httpx.AsyncClient(trust_env=False) as http:
        for stakes, verdict in ((emulated, "warning"), (STRICT, "failed")):
            [told] = await CdnCheck(http, NOBODY, stakes).examine()
            assert told.verdict == verdict


async def test_a_redis_that_is_there(environment: dict[str, str], redis_url: str):
    told = await doctor(environment | {"IMAGE_SERVICE_REDIS_URL": redis_url})

    assert told.status == 0, told.out
    assert told.lines["redis"].startswith("✓")
    assert "a ping takes" in told.lines["redis"]


async def test_a_distribution_that_is_not_there(environment: dict[str, str], emulator: str):
    told = await doctor(
        environment
        | {
            "AWS_ENDPOINT_URL_CLOUDFRONT": emulator,
            "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID": "ENOTTHERE",
        }
    )
    assert told.failed() == {"cloudfront"}
    assert "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID" in told.lines["cloudfront"]


async def test_a_distribution_that_is_there(emulator: str):
    async with engines.cloudfront_client(emulator) as client:
        distribution_id = await engines.create_distribution(client)
        [told] = await DistributionCheck(client, distribution_id).examine()
    assert told.verdict == "ok"


async def test_settings_that_do_not_fit_the_machine(environment: dict[str, str]):
    told = await doctor(
        environment
        | {
            "IMAGE_SERVICE_WORKER_THREADS": "200",
            "IMAGE_SERVICE_DECODE_MEMORY_BYTES": str(2**50),
        }
    )
    assert told.failed() == {"memory"}
    assert "workers" in told.warned()
    assert "IMAGE_SERVICE_WORKER_THREADS" in told.lines["workers"]
    assert "IMAGE_SERVICE_UPLOAD_MEMORY_BYTES" in told.lines["memory"]


async def test_a_store_that_says_nothing_is_not_waited_for(environment: dict[str, str]):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(40):
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})
    assert told.failed() == {"credentials", "table"}
    assert "does not answer (ReadTimeoutError)" in told.lines["table"]
    assert told.lines["bucket"].startswith("✓")


async def test_a_terminal_that_knows_ascii_only(environment: dict[str, str]):
    status, out = await run(environment | {"PYTHONIOENCODING": "ascii"})
    assert status == 0
    assert out.isascii()
    assert "+ settings" in out
