from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
    UnknownKeyError,
)
from tests import virtual_time

from image_service.adapters.dynamodb.partitions import USER_INDEX
from image_service.domain.task_size import bounds_for
from image_service.pictures.worker_child import ChildNotStarted, WorkerChild
from image_service.tools.doctor import machine
from image_service.tools.doctor.bucket import expiry_error, public_error
from image_service.tools.doctor.errors import aws_error
from image_service.tools.doctor.findings import Finding, Verdict, failed, well
from image_service.tools.doctor.machine import memory_for, workers_for
from image_service.tools.doctor.runner import Check, Systems, examine
from image_service.tools.doctor.table import index_in

MIB = 2**20


NOTHING: Any = None  # these checks look at no system


async def good(_: Systems) -> Sequence[Finding]:
    return [well("one"), well("two")]


async def hanging(_: Systems) -> Sequence[Finding]:
    await asyncio.sleep(60)
    return []


async def broken(_: Systems) -> Finding:
    raise RuntimeError("a secret")


@virtual_time.MARK
async def test_no_check_holds_up_or_ends_another():
    checks = [Check("hanging", hanging), Check("broken", broken), Check("good", good)]
    found = await examine(checks, NOTHING, within=0.05)

    assert [(one.check, one.verdict) for one in found] == [
        ("hanging", Verdict.FAILED),
        ("broken", Verdict.FAILED),
        ("good", Verdict.OK),
        ("good", Verdict.OK),
    ]
    assert "no response within 0.05 s" in found[0].detail
    # Where, to be reported; there is no log.
    where = r"the check itself failed \(RuntimeError at test_doctor.py:\d+ < runner.py:\d+\)"
    assert re.fullmatch(where, found[1].detail)
    assert "a secret" not in found[1].detail


async def test_what_follows_runs_only_where_all_is_well():
    async def poor(_: Systems) -> Sequence[Finding]:
        return [well("one"), failed("two", "remedy")]

    then = (Check("then", good),)
    checks = [Check("good", good, then), Check("poor", poor, then), Check("broken", broken, then)]
    found = await examine(checks, NOTHING)
    names = [*("good", "good", "then", "then"), *("poor", "poor"), "broken"]
    assert [one.check for one in found] == names


@pytest.mark.parametrize(
    ("limit_mib", "verdict"),
    [
        *((2048, Verdict.OK), (1280, Verdict.WARNING), (1024, Verdict.FAILED)),
        *((255, Verdict.FAILED), (None, Verdict.OK)),
    ],
)
def test_the_defaults_against_the_memory_there_is(limit_mib: int | None, verdict: Verdict):
    assert memory_for(1, 1024 * MIB, limit_mib and limit_mib * MIB).verdict is verdict


@pytest.mark.parametrize(
    ("cpus", "mib"), [(0.25, 512), (0.5, 1024), (1, 2048), (2, 4096), (64, 512), (64, 8192)]
)
def test_what_follows_from_a_size_fits(cpus: float, mib: int):
    bounds = bounds_for(cpus, mib * MIB)
    pictures = bounds.upload_bytes + bounds.decode_bytes
    assert memory_for(bounds.workers, pictures, mib * MIB).verdict is Verdict.OK


def test_each_child_takes_memory():
    one, many = (int(memory_for(workers, MIB, None).detail.split(" ")[6]) for workers in (1, 21))
    assert many - one == pytest.approx(20 * 45e6 * 1.2 / MIB, abs=1)


def test_threads_against_processors():
    verdicts = [workers_for(threads, 2).verdict for threads in (1, 2, 3)]
    assert verdicts == [Verdict.OK, Verdict.OK, Verdict.WARNING]


async def test_a_libvips_that_fails_its_self_test(monkeypatch: pytest.MonkeyPatch):
    def old() -> WorkerChild:
        raise ChildNotStarted("libvips 8.18.3 or newer is needed, not 8.15.1")

    monkeypatch.setattr(machine, "WorkerChild", old)
    found = await machine.libvips(NOTHING)
    assert (found.verdict, "8.15.1" in found.detail) == (Verdict.FAILED, True)


def test_public_access_is_blocked_in_four_ways():
    blocks = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    assert public_error({"PublicAccessBlockConfiguration": blocks}) is None
    blocks["BlockPublicPolicy"] = False
    fault = public_error({"PublicAccessBlockConfiguration": blocks})
    assert fault == "public access is not blocked: BlockPublicPolicy off"


@pytest.mark.parametrize(
    ("rule", "deletes"),
    [
        ({"Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}, True),
        ({"Filter": {}, "Expiration": {"Days": 30}}, True),
        ({"Prefix": "images/some", "Expiration": {"Date": "2030-01-01"}}, True),
        (
            {"Filter": {"And": {"Prefix": "i", "ObjectSizeGreaterThan": 9}}}
            | {"Expiration": {"Days": 7}},
            True,
        ),
        ({"Filter": {"Prefix": "temp/"}, "Expiration": {"Days": 1}}, False),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"Days": 1}}, False),
        (
            {"Filter": {"And": {"Prefix": "", "Tags": [{"Key": "a", "Value": "b"}]}}}
            | {"Expiration": {"Days": 1}},
            False,
        ),
        ({"Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}}, False),
        ({"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, False),
    ],
)
def test_what_deletes_pictures(rule: dict[str, object], deletes: bool):
    found = expiry_error({"Rules": [rule | {"ID": "some", "Status": "Enabled"}]})
    assert found == ("the lifecycle rule some deletes pictures" if deletes else None)
    assert expiry_error({"Rules": [rule | {"Status": "Disabled"}]}) is None


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("ACTIVE", Verdict.OK), ("UPDATING", Verdict.OK), ("CREATING", Verdict.FAILED)],
)
def test_an_index_that_is_being_filled(status: str, verdict: Verdict):
    keys = {"GSI1PK": "HASH", "GSI1SK": "RANGE"}
    index = {
        "IndexName": "UserIndex",
        "IndexStatus": status,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        "Projection": {"ProjectionType": "ALL"},
    }
    table: Any = {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in keys],
        "GlobalSecondaryIndexes": [index],
    }
    assert index_in(table, USER_INDEX).verdict is verdict


def refused(code: str, operation: str = "GetItem") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "a secret"}}, operation)


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (NoCredentialsError(), "there are no AWS credentials (NoCredentialsError)"),
        (refused("400", "HeadBucket"), "AWS refuses the credentials (400)"),
        (refused("403", "HeadBucket"), "the credentials may not s3:ListBucket"),
        (refused("RequestTimeTooSkewed"), "AWS finds this clock wrong (RequestTimeTooSkewed)"),
        (refused("InternalServerError"), "dynamodb:GetItem fails (InternalServerError)"),
        (
            ReadTimeoutError(endpoint_url="https://a:secret@dynamodb.example:1/?x", error="secret"),
            "dynamodb.example:1 does not respond (ReadTimeoutError)",
        ),
        (HTTPClientError(error="a secret"), "AWS does not respond (HTTPClientError)"),
        (UnknownKeyError(value="a secret", param="", choices=""), "a call of AWS fails"),
    ],
)
def test_an_aws_error_is_diagnosed_in_our_own_words(error: Any, detail: str):
    found = aws_error(error)
    assert found.verdict is Verdict.FAILED
    assert found.detail.startswith(detail)
    assert "secret" not in found.detail


@pytest.mark.parametrize(
    ("operation", "verdict"),
    [
        *(("DescribeTable", Verdict.WARNING), ("GetPublicAccessBlock", Verdict.WARNING)),
        *(("GetBucketLifecycleConfiguration", Verdict.WARNING), ("HeadBucket", Verdict.FAILED)),
        *(("GetInvalidation", Verdict.WARNING), ("TransactWriteItems", Verdict.FAILED)),
    ],
)
def test_a_right_that_only_operators_need_is_a_warning(operation: str, verdict: Verdict):
    assert aws_error(refused("AccessDenied", operation)).verdict is verdict
