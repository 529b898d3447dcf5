"""The doctor's findings in general: verdicts, output, exit codes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests import engines
from tests.integration.doctor_runs import NOBODY, doctor, local_stack, run

from image_service.devstack.issuer import LocalIssuer


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    return await local_stack(emulator, issuer, unique)


async def test_all_is_well(environment: dict[str, str]):
    told = await doctor(environment)

    assert (told.status, told.failed()) == (0, set()), told.out
    assert told.warned() == set()
    assert told.lines["only on AWS"].startswith("·")
    assert told.only_aws() == {"bucket access"}
    assert list(told.lines) == [
        *("settings", "credentials"),
        *("table", "index UserIndex", "index AlbumIndex"),
        *("table ttl", "table read", "bucket", "bucket expiry"),
        *("clock", "jwks", "redis", "cdn", "cloudfront"),
        *("libvips", "workers", "memory", "only on AWS"),
    ]
    assert "disabled" in told.lines["redis"]
    assert "1 RS256" in told.lines["jwks"]
    assert "404" in told.lines["cdn"]


async def test_it_writes_only_when_told_and_clears_it_away(
    environment: dict[str, str], emulator: str
):
    told = await doctor(environment, "--write")

    assert told.status == 0, told.out
    assert {"table write", "picture"} <= set(told.lines)
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
    assert by_check["bucket access"]["status"] == "only_aws"
    assert by_check["jwks"]["status"] == "failed"
    assert "IMAGE_SERVICE_JWKS_URL" in by_check["jwks"]["remedy"]
    assert set(by_check["table"]) == {"check", "status", "detail", "remedy"}


async def test_settings_are_told_all_at_once(environment: dict[str, str]):
    for name in ("IMAGE_SERVICE_BUCKET", "AWS_REGION", "AWS_DEFAULT_REGION"):
        del environment[name]
    environment |= {
        "IMAGE_SERVICE_PORT": "many",
        "IMAGE_SERVICE_REDIS_URL": "redis://:planted-secret@h:99999",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }

    told = await doctor(environment)

    assert told.status == 2
    assert set(told.lines) == {"settings"}
    for name in (
        *("SERVICE_BUCKET", "SERVICE_PORT", "SERVICE_REDIS_URL", "AWS_REGION"),
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ):
        assert name in told.out
    assert len(told.out.splitlines()) == 5
    assert "planted-secret" not in told.out


async def test_everything_is_down_and_nothing_stops_the_rest(environment: dict[str, str]):
    told = await doctor(
        environment
        | {
            "AWS_ENDPOINT_URL_S3": NOBODY.replace("//", "//someone:planted-secret@"),
            "AWS_ENDPOINT_URL_DYNAMODB": NOBODY,
            "IMAGE_SERVICE_JWKS_URL": "http://someone:planted-secret@127.0.0.1:9/jwks.json",
            "IMAGE_SERVICE_CDN_BASE_URL": "https://nowhere.invalid",
            "IMAGE_SERVICE_REDIS_URL": "redis://:planted-secret@127.0.0.1:9",
        },
        "--write",
    )

    assert told.status == 1
    assert told.failed() == {
        *("credentials", "table", "table read", "table write"),
        *("bucket", "picture", "jwks", "redis", "redis write", "cdn"),
    }
    for check in ("credentials", "table", "table read", "table write"):
        assert "127.0.0.1:9 does not respond (EndpointConnectionError)" in told.lines[check]
    for check in ("table", "table write", "bucket", "picture"):
        assert "does not respond" in told.lines[check]
        assert "AWS_ENDPOINT_URL" in told.lines[check]
    assert "refuses connections" in told.lines["jwks"]
    assert "IMAGE_SERVICE_JWKS_URL" in told.lines["jwks"]
    assert "does not respond" in told.lines["redis"]
    assert "IMAGE_SERVICE_REDIS_URL" in told.lines["redis"]
    assert "its name does not resolve" in told.lines["cdn"]
    assert "IMAGE_SERVICE_CDN_BASE_URL" in told.lines["cdn"]
    assert told.warned() == {"clock"}
    assert told.lines["libvips"].startswith("✓")
    assert "planted-secret" not in told.out


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
        async with asyncio.timeout(200):
            told = await doctor(environment | {"AWS_ENDPOINT_URL_DYNAMODB": url})
    assert told.failed() == {"credentials", "table", "table read"}
    assert "does not respond (ReadTimeoutError)" in told.lines["table"]
    assert told.lines["bucket"].startswith("✓")


async def test_a_terminal_that_knows_ascii_only(environment: dict[str, str]):
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "image-service", "doctor"),
        env=environment | {"PYTHONIOENCODING": "ascii"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.isascii()
    assert b"+ settings" in out
