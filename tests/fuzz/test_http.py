"""Mutants over HTTP: stored or refused with a reason, never a 5xx, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
from tests.chaos.service import Backends, new_user, post, running_service
from tests.chaos.truth import truth
from tests.fuzz.mutations import mutant

AT_ONCE = 4
REFUSALS = {"INVALID_FILE_TYPE", "INVALID_IMAGE", "INVALID_DIMENSIONS", "ANIMATED_IMAGE"}


@pytest.mark.timeout(0)
async def test_mutants_are_stored_or_refused(backends: Backends, seed: int, seconds: float):
    user, began = new_user(), asyncio.get_running_loop().time()
    outcomes: Counter[str] = Counter()
    apart = await backends.apart("fuzz")
    waiting = {"upload_deadline": 50.0}  # the machine's load is not what is tested
    async with running_service(apart, **waiting) as service, service.client(user) as client:

        async def some(first: int) -> None:
            number = first
            while asyncio.get_running_loop().time() - began < seconds / 2:
                # A seed of its own, or the first files would be those of the other test.
                answer = await post(client, data=mutant(seed + 1, number))
                outcomes[judged(answer, f"mutant({seed + 1}, {number})")] += 1
                number += AT_ONCE

        await asyncio.gather(*(some(first) for first in range(AT_ONCE)))
        found = await truth(service.place, user)
    assert found.wrong() == []
    assert len(found.images) == outcomes["stored"]
    assert outcomes.total() >= AT_ONCE
    print(f"seed {seed + 1}: {dict(outcomes)}")  # noqa: T201 - the figures of the run


def judged(answer: httpx.Response, which: str) -> str:
    if answer.status_code == 201:
        return "stored"
    assert answer.status_code == 400, f"{which}: {answer.status_code} {answer.text}"
    code: str = answer.json()["code"]
    assert code in REFUSALS, f"{which}: {answer.text}"
    return code
