"""The emulator process: it answers once started, and leaves with whoever started it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import engines
from tests.ports import free_port

from image_service.devstack import emulator, stack
from image_service.devstack.aws import create_bucket, create_table
from image_service.devstack.emulator import Emulator, running_emulator
from image_service.devstack.state import LocalStackError, held

PARENT = """
import signal, time
from image_service.devstack.emulator import running_emulator

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
with running_emulator() as endpoint:
    print(endpoint, flush=True)
    while True:
        time.sleep(60)
"""


def answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    try:
        socket.create_connection((address.hostname, address.port), timeout=2).close()
    except OSError:
        return False
    return True


def opened(url: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(url) as answer:
        return answer.headers["Content-Type"], answer.read()


def leaves(endpoint: str, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while answers(endpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not answers(endpoint)


@contextmanager
def parent() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs an emulator, in a group of its own as under a shell."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_stored_object_opens_in_a_browser(emulator: str, unique: str) -> None:
    bucket = f"images-{unique}"
    async with engines.s3_client(emulator) as client:
        await create_bucket(client, bucket)
        await create_bucket(client, bucket)
        await client.put_object(
            Bucket=bucket, Key="images/a|b/c.webp", Body=b"picture", ContentType="image/webp"
        )

    url = f"{emulator}/{bucket}/images/a%7Cb/c.webp"
    assert await asyncio.to_thread(opened, url) == ("image/webp", b"picture")


async def test_the_table_is_made_once_and_as_on_aws(emulator: str, unique: str) -> None:
    name = f"ImageMetadata-{unique}"
    async with engines.dynamodb_client(emulator) as client:
        await create_table(client, name)
        await create_table(client, name)
        table = (await client.describe_table(TableName=name))["Table"]
        expiry = (await client.describe_time_to_live(TableName=name))["TimeToLiveDescription"]
        backups = await client.describe_continuous_backups(TableName=name)

    assert {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    } == {"UserIndex": ["GSI1PK", "GSI1SK"], "AlbumIndex": ["GSI2PK", "GSI2SK"]}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "ttl")
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_it_listens_on_loopback_and_is_gone_afterwards() -> None:
    with running_emulator() as endpoint:
        assert endpoint.startswith("http://127.0.0.1:")
        assert answers(endpoint)
    assert not answers(endpoint)


def test_it_takes_the_port_it_is_given() -> None:
    port = free_port()
    with running_emulator(port) as endpoint:
        assert endpoint == f"http://127.0.0.1:{port}"


def test_a_port_in_use_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(LocalStackError, match="port"),
        running_emulator(other.getsockname()[1]),
    ):
        pytest.fail("it started")
    assert "in use" in capfd.readouterr().err


def test_it_leaves_with_a_parent_that_was_killed() -> None:
    with parent() as (process, endpoint):
        assert answers(endpoint)
        process.send_signal(signal.SIGKILL)
        assert leaves(endpoint)


def test_ctrl_c_is_the_parents_to_answer() -> None:
    with parent() as (process, endpoint):
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        # Nothing else was said in between: the emulator is quiet.
        assert process.stdout.readline() == "interrupted\n"
        with urllib.request.urlopen(_signed_list(endpoint)) as answer:
            assert "TableNames" in json.load(answer)


def _signed_list(endpoint: str) -> urllib.request.Request:
    return urllib.request.Request(
        endpoint,
        data=b"{}",
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260301/us-east-1/dynamodb/"
            "aws4_request, SignedHeaders=host, Signature=none",
        },
    )


@pytest.mark.parametrize("says", ["", "http://127.0.0.1:{port}"], ids=["silent", "never answers"])
def test_a_start_that_does_not_end_is_given_up(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "_STARTUP_SECONDS", 30 if says else 0.5)
    monkeypatch.setattr(stack, "_PROVISION_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as deaf, held(tmp_path) as state:
        line = says.format(port=deaf.getsockname()[1])
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"[ -n '{line}' ] && echo '{line}'; exec sleep 60"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            with pytest.raises(LocalStackError, match=r"within [0-9.]+ s"):
                stack.local_stack(state, Emulator(process, state))
            process.kill()
