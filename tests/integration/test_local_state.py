"""The state directory of the local stack: who may use it, and what is done about damage."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import engines

from image_service.devstack import stack
from image_service.devstack.emulator import started_emulator
from image_service.devstack.state import LocalStackError, environment_of_running, held

HOLDER = """
import sys
from pathlib import Path
from image_service.devstack.state import held

with held(Path(sys.argv[1])) as state:
    state.announce(environment={"IMAGE_SERVICE_STAGE": "local"})
    print("held", flush=True)
    sys.stdin.read()
"""


@asynccontextmanager
async def running_stack(path: Path) -> AsyncIterator[Any]:
    """A DynamoDB client of the stack that keeps its state in `path`."""
    with held(path) as state, started_emulator(state=state) as emulator:
        environment = await asyncio.to_thread(stack.local_stack, state, emulator)
        async with engines.dynamodb_client(environment["AWS_ENDPOINT_URL_DYNAMODB"]) as client:
            yield client
    # Both are left in order: what is kept is on disk now.


@pytest.fixture
async def kept(tmp_path: Path) -> Path:
    """A state directory with an item in it."""
    async with running_stack(tmp_path) as client:
        await client.put_item(
            TableName=stack.TABLE_NAME, Item={"PK": {"S": "A"}, "SK": {"S": "B"}, "n": {"N": "1"}}
        )
    return tmp_path


async def test_items_are_there_again(kept: Path):
    async with running_stack(kept) as client:
        found = await client.scan(TableName=stack.TABLE_NAME)
    assert [item["n"] for item in found["Items"]] == [{"N": "1"}]


def payload(content: object, version: int = 2) -> str:
    return json.dumps({"__ministack_format__": version, "payload": content})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("emulator/items/dynamodb.json", '{"__ministack_format__": 2, "payl'),
        ("emulator/items/dynamodb.json", ""),
        ("emulator/items/dynamodb.json", "[]"),
        ("emulator/items/dynamodb.json", payload({}, version=99)),
        (
            "emulator/items/dynamodb.json",
            payload({"tables": {"__account_region_scoped__": True, "data": {"x": 1}}}),
        ),
        ("emulator/items/dynamodb.json", payload({"tables": 7})),
        ("emulator/items/s3.json", "not JSON"),
        ("stack.json", '{"format": 0, "port": 1}'),
        ("stack.json", None),
    ],
)
async def test_a_state_that_cannot_be_used_is_said_and_left_as_it_is(
    kept: Path, name: str, text: str | None
):
    damaged = kept / name
    if text is None:
        damaged.unlink()
    else:
        damaged.write_text(text)
    with pytest.raises(LocalStackError, match="can't be read") as refused:
        async with running_stack(kept):
            pytest.fail("it started")
    assert "\n" not in str(refused.value)
    assert "--fresh" in str(refused.value)
    assert (damaged.read_text() if damaged.exists() else None) == text

    with held(kept, fresh=True):
        assert not (kept / "emulator").exists()
        assert not (kept / "issuer-key.pem").exists()


def test_fresh_removes_only_its_own(tmp_path: Path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with held(tmp_path, fresh=True):
        assert (tmp_path / "photo.jpg").exists()


def test_one_stack_at_a_time_and_others_can_find_it(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(LocalStackError, match=rf"\(process {holder.pid}\) runs on"),
            held(tmp_path, fresh=True),
        ):
            pytest.fail("both hold it")
        assert environment_of_running(tmp_path) == {"IMAGE_SERVICE_STAGE": "local"}
        holder.kill()
    with pytest.raises(LocalStackError, match="no local stack runs on"):
        environment_of_running(tmp_path)
    with held(tmp_path):  # what a killed one left is no obstacle
        assert json.loads((tmp_path / "running.json").read_text()) == {"pid": os.getpid()}


def test_nothing_runs_where_nothing_ever_did(tmp_path: Path):
    with pytest.raises(LocalStackError, match="start one: image-service dev"):
        environment_of_running(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_private_can_be_read_by_its_owner_only(tmp_path: Path):
    before = os.umask(0)
    try:
        with held(tmp_path) as state:
            for text in ("first", "second"):
                path = state.write_private("auth.txt", text)
                assert (path.read_text(), path.stat().st_mode & 0o777) == (text, 0o600)
    finally:
        os.umask(before)
