"""Children that are killed in a stream of uploads: each costs its picture, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from tests.chaos.service import Backends, new_user, post, running_service
from tests.chaos.truth import left_wrong

from image_service.api.dependencies import state_of

ROUNDS = int(os.environ.get("IMAGE_SERVICE_CHAOS_ROUNDS", "10"))
AT_ONCE = 4


@pytest.mark.timeout(0)
async def test_killed_children_lose_nothing(backends: Backends):
    user, chance = new_user(), random.Random(ROUNDS)
    async with (
        running_service(await backends.apart("children"), worker_threads=2) as service,
        service.client(user) as client,
    ):
        processor = state_of(service.app).services.is_live.__self__
        refused = killed = 0
        for number in range(ROUNDS):
            keys = [f"{number}-{each}" for each in range(AT_ONCE)]
            uploads = [asyncio.create_task(post(client, key)) for key in keys]
            await asyncio.sleep(chance.uniform(0, 0.15))
            for child in list(processor._children)[:1]:  # none where both are being replaced
                child.kill()
                killed += 1
            answers = await asyncio.gather(*uploads)
            lost = [key for key, each in zip(keys, answers, strict=True) if each.is_client_error]
            for answer in answers:
                if answer.status_code != 201:
                    assert (answer.status_code, answer.json()["code"]) == (400, "IMAGE_TOO_COMPLEX")
            # One killed while it was idle is found out by the next picture.
            refused += len(lost)
            while lost:
                again = [(key, await post(client, key)) for key in lost]
                lost = [key for key, answer in again if answer.status_code != 201]
                refused += len(lost)
        assert refused <= 2 * ROUNDS
        assert (await client.get("/images")).json()["totalCount"] == ROUNDS * AT_ONCE
        assert (await client.get("/health/live")).status_code == 200
        assert killed >= ROUNDS * 0.9
        assert await left_wrong(service.place, user) == []
