from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from tests import virtual_time

from image_service.adapters.dynamodb.partitions import USER_INDEX
from image_service.domain.task_size import bounds_for
from image_service.pictures.worker_child import ChildNotStarted, WorkerChild
from image_service.tools.doctor import machine
from image_service.tools.doctor.bucket_settings import (
    expiry_error,
    public_error,
    retention_error,
)
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, Verdict, well
from image_service.tools.doctor.machine import MemoryCheck, WorkersCheck
from image_service.tools.doctor.service import Doctor
from image_service.tools.doctor.table import _index

MIB = 2**20


class Good:
    name = "good"

    async def examine(self) -> Sequence[Diagnosis]:
        return [well("good", "one"), well("good", "two")]


class Hanging:
    name = "hanging"

    async def examine(self) -> Sequence[Diagnosis]:
        await asyncio.sleep(60)
        return []


class Broken:
    name = "broken"

    async def examine(self) -> Sequence[Diagnosis]:
        raise RuntimeError("a secret")


@virtual_time.MARK
async def test_no_check_holds_up_or_ends_another():
    found = await Doctor([Hanging(), Broken(), Good()], timeout=0.05).examine()

    assert [(one.check, one.verdict) for one in found] == [
        ("hanging", Verdict.FAILED),
        ("broken", Verdict.FAILED),
        ("good", Verdict.OK),
        ("good", Verdict.OK),
    ]
    assert "no response within 0.05 s" in found[0].detail
    # Where, to be reported; there is no log.
    where = r"the check itself failed \(RuntimeError at test_doctor.py:\d+ < service.py:\d+\)"
    assert re.fullmatch(where, found[1].detail)
    assert "a secret" not in found[1].detail


@pytest.mark.parametrize(
    ("stakes", "grave", "verdict"),
    [
        (Stakes(production=True, emulated=False), False, Verdict.FAILED),
        (Stakes(production=False, emulated=False), False, Verdict.WARNING),
        (Stakes(production=False, emulated=False), True, Verdict.FAILED),
        (Stakes(production=False, emulated=True), True, Verdict.ONLY_AWS),
    ],
)
def test_how_grave_a_missing_protection_is(stakes: Stakes, grave: bool, verdict: Verdict):
    assert stakes.missing("check", "detail", "remedy", grave=grave).verdict is verdict


@pytest.mark.parametrize(
    ("limit_mib", "verdict"),
    [
        *((2048, Verdict.OK), (1280, Verdict.WARNING), (1024, Verdict.FAILED)),
        *((255, Verdict.FAILED), (None, Verdict.OK)),
    ],
)
async def test_the_defaults_against_the_memory_there_is(limit_mib: int | None, verdict: Verdict):
    limit = limit_mib and limit_mib * MIB
    check = MemoryCheck(workers=1, upload_bytes=256 * MIB, decode_bytes=768 * MIB, limit=limit)
    [found] = await check.examine()
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("cpus", "mib"), [(0.25, 512), (0.5, 1024), (1, 2048), (2, 4096), (64, 512), (64, 8192)]
)
async def test_what_follows_from_a_size_fits(cpus: float, mib: int):
    bounds = bounds_for(cpus, mib * MIB)
    check = MemoryCheck(
        workers=bounds.workers,
        upload_bytes=bounds.upload_bytes,
        decode_bytes=bounds.decode_bytes,
        limit=mib * MIB,
    )
    [found] = await check.examine()
    assert found.verdict is Verdict.OK


async def test_each_child_takes_memory():
    peaks = [
        await MemoryCheck(workers=workers, upload_bytes=MIB, decode_bytes=MIB, limit=None).examine()
        for workers in (1, 21)
    ]
    one, many = (int(found.detail.split(" ")[6]) for [found] in peaks)
    assert many - one == pytest.approx(20 * 45e6 * 1.2 / MIB, abs=1)


async def test_threads_against_processors():
    verdicts = [(await WorkersCheck(threads, 2).examine())[0].verdict for threads in (1, 2, 3)]
    assert verdicts == [Verdict.OK, Verdict.OK, Verdict.WARNING]


async def test_a_libvips_that_fails_its_self_test(monkeypatch: pytest.MonkeyPatch):
    def old() -> WorkerChild:
        raise ChildNotStarted("libvips 8.18.3 or newer is needed, not 8.15.1")

    monkeypatch.setattr(machine, "WorkerChild", old)
    [found] = await machine.VipsCheck().examine()
    assert (found.verdict, "8.15.1" in found.detail) == (Verdict.FAILED, True)


def test_public_access_is_blocked_in_four_ways():
    blocks = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    assert public_error({"PublicAccessBlockConfiguration": blocks}) is None
    blocks["BlockPublicPolicy"] = False
    fault = public_error({"PublicAccessBlockConfiguration": blocks})
    assert fault == "public access is not blocked: BlockPublicPolicy off"


OLD = {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 14}}


@pytest.mark.parametrize(
    "scope", [{"Filter": {}}, {"Prefix": ""}, {"Filter": {"Prefix": "images/"}}]
)
def test_old_versions_expire(scope: dict[str, object]):
    assert retention_error({"Rules": [OLD | scope]}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"Filter": {"Prefix": "temp/"}},
        {"Filter": {"Tag": {"Key": "a", "Value": "b"}}},
        {"Filter": {"And": {"Prefix": "", "ObjectSizeGreaterThan": 9}}},
        {"Prefix": "", "Status": "Disabled"},
    ],
)
def test_old_versions_that_are_kept(change: dict[str, object]):
    kept = "deleted pictures are kept for ever as old versions"
    assert retention_error({"Rules": [OLD | change]}) == kept
    assert retention_error({}) == kept


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
    assert _index(USER_INDEX, table).verdict is verdict
