"""Alice uploads the most expensive files there are; bob uploads ordinary ones, and all succeed.

Nothing here is timed but to be printed: the machine's load is not what is tested.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from tests import costly, pictures, times
from tests.e2e.conftest import started
from tests.e2e.test_dev import token

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

AT_ONCE = 3  # of alice's; more than there are workers
PATIENT = times.command(queue_timeout=45, processing_timeout=45, upload_deadline=50)
# Or alice, who is charged for what her pictures cost, would soon be refused for that.
MANY = {"IMAGE_SERVICE_RATE_LIMIT_UPLOADS": "100000/minute"}
ORDINARY = (
    pictures.jpeg(1600, 1200, quality=85),
    pictures.png(600, 400),
    pictures.webp(1200, 800),
)


async def test_costly_files_of_one_user_fail_no_upload_of_another(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
):
    here = ("--port", "0", "--state-dir", str(state_dir))
    with started("dev", *here, command=PATIENT, **MANY) as server:
        url = server.wait_for(r"(http://\S+)/docs")[1]
        alice, bob = (
            {"Authorization": f"Bearer {token(state_dir, user)}"} for user in ("alice", "bob")
        )
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
            files = iter(costly.FILES.items())
            outcomes: dict[str, tuple[int, float]] = {}
            attack = asyncio.gather(
                *(_upload_all(client, alice, files, outcomes) for _ in range(AT_ONCE))
            )
            waits: list[float] = []
            while not attack.done():
                data = ORDINARY[len(waits) % len(ORDINARY)]
                answer, seconds = await _upload(client, bob, data)
                waits.append(seconds)
                assert answer.status_code == 201, answer.text
                await asyncio.sleep(0.2)
            await attack
            assert (await client.get("/images", headers=bob)).json()["totalCount"] == len(waits)
            assert (await client.get("/health/live")).status_code == 200
    _print(outcomes, waits, capsys)
    assert outcomes.keys() == costly.FILES.keys()
    assert {code for code, _ in outcomes.values()} <= {201, 400}


async def _upload_all(
    client: httpx.AsyncClient,
    user: Mapping[str, str],
    files: Iterator[tuple[str, Callable[[], bytes]]],
    outcomes: dict[str, tuple[int, float]],
) -> None:
    for name, make in files:
        data = await asyncio.to_thread(make)
        answer, seconds = await _upload(client, user, data)
        outcomes[name] = answer.status_code, seconds


async def _upload(
    client: httpx.AsyncClient, user: Mapping[str, str], data: bytes
) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await client.post("/images", headers=user, files={"file": data})
    return answer, time.monotonic() - began


def _print(
    outcomes: Mapping[str, tuple[int, float]],
    waits: Sequence[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds, name = max((took, name) for name, (_, took) in outcomes.items())
    p50, p95 = (statistics.quantiles(waits, n=20)[at] for at in (9, 18))
    codes = Counter(code for code, _ in outcomes.values())
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the run
            f"\nalice: {dict(codes)}, at worst {seconds:.1f} s ({name}); "
            f"bob: {len(waits)} uploads, "
            f"p50 {p50:.2f} s, p95 {p95:.2f} s, at worst {max(waits):.2f} s"
        )
