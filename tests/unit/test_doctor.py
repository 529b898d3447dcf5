from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from image_service.adapters.machine import MemoryCheck, WorkersCheck
from image_service.adapters.s3_checks import _lifecycle_fault, _public_fault, _tls_fault
from image_service.adapters.vips import checks as vips_checks
from image_service.domain.diagnosis import Diagnosis, Stakes, Verdict, well
from image_service.services.doctor import Doctor

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


async def test_no_check_holds_up_or_ends_another():
    found = await Doctor([Hanging(), Broken(), Good()], timeout=0.05).examine()

    assert [(one.check, one.verdict) for one in found] == [
        ("hanging", Verdict.FAILED),
        ("broken", Verdict.FAILED),
        ("good", Verdict.OK),
        ("good", Verdict.OK),
    ]
    assert "no answer within 0.05 s" in found[0].detail
    assert "RuntimeError" in found[1].detail
    assert "a secret" not in found[1].detail


@pytest.mark.parametrize(
    ("stakes", "grave", "verdict"),
    [
        (Stakes(production=True, emulated=False), False, Verdict.FAILED),
        (Stakes(production=False, emulated=False), False, Verdict.WARNING),
        (Stakes(production=False, emulated=False), True, Verdict.FAILED),
        (Stakes(production=False, emulated=True), True, Verdict.WARNING),
    ],
)
def test_how_grave_a_missing_protection_is(stakes: Stakes, grave: bool, verdict: Verdict):
    assert stakes.missing("check", "detail", "remedy", grave=grave).verdict is verdict


@pytest.mark.parametrize(
    ("limit_mib", "verdict"),
    [(2048, Verdict.OK), (1280, Verdict.WARNING), (1024, Verdict.FAILED), (None, Verdict.OK)],
)
async def test_the_defaults_against_the_memory_there_is(limit_mib: int | None, verdict: Verdict):
    limit = limit_mib and limit_mib * MIB
    check = MemoryCheck(upload_bytes=256 * MIB, decode_bytes=768 * MIB, limit=limit)
    [found] = await check.examine()
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("task_mib", "upload_mib", "decode_mib"),
    [(512, 48, 144), (1024, 128, 512), (2048, 256, 768), (4096, 512, 1536)],
)
async def test_the_task_sizes_of_the_readme_fit(task_mib: int, upload_mib: int, decode_mib: int):
    check = MemoryCheck(
        upload_bytes=upload_mib * MIB, decode_bytes=decode_mib * MIB, limit=task_mib * MIB
    )
    [found] = await check.examine()
    assert found.verdict is Verdict.OK


async def test_threads_against_processors():
    verdicts = [(await WorkersCheck(threads, 2).examine())[0].verdict for threads in (1, 2, 3)]
    assert verdicts == [Verdict.OK, Verdict.OK, Verdict.WARNING]


async def test_a_libvips_that_fails_its_self_test(monkeypatch: pytest.MonkeyPatch):
    def old() -> None:
        raise RuntimeError("libvips 8.18.3 or newer is needed, not 8.15.1")

    monkeypatch.setattr(vips_checks, "check_vips", old)
    [found] = await vips_checks.VipsCheck().examine()
    assert (found.verdict, "8.15.1" in found.detail) == (Verdict.FAILED, True)


@pytest.mark.parametrize(
    ("condition", "effect", "safe"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, "Deny", True),
        ({"Bool": {"aws:SecureTransport": ["false"]}}, "Deny", True),
        ({"Bool": {"aws:SecureTransport": False}}, "Deny", True),
        ({"Bool": {"aws:SecureTransport": "true"}}, "Deny", False),
        ({"Bool": {"aws:SecureTransport": "false"}}, "Allow", False),
        ({}, "Deny", False),
    ],
)
def test_what_denies_requests_without_tls(condition: object, effect: str, safe: bool):
    policy = json.dumps({"Statement": [{"Effect": effect, "Condition": condition}]})
    assert (_tls_fault({"Policy": policy}) is None) == safe
    assert _tls_fault({}) is not None


def test_public_access_is_blocked_in_four_ways():
    blocks = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    assert _public_fault({"PublicAccessBlockConfiguration": blocks}) is None
    blocks["BlockPublicPolicy"] = False
    fault = _public_fault({"PublicAccessBlockConfiguration": blocks})
    assert fault == "public access is not blocked: BlockPublicPolicy off"


def test_lifecycle_rules_in_all_their_spellings():
    old = {"Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 9}}
    temp = {"Status": "Enabled", "Expiration": {"Days": 1}}
    for spelled in ({"Filter": {"Prefix": "temp/"}}, {"Prefix": "temp/"}):
        assert _lifecycle_fault({"Rules": [old, temp | spelled]}) is None
    for rules in ([old], [temp | {"Prefix": "images/"}, old], [temp | {"Status": "Disabled"}, old]):
        assert _lifecycle_fault({"Rules": rules}) == "nothing removes what is left under temp/"
