"""One call goes wrong at the worst moment: acted on, and nobody says so; or cut off.

An upload or a deletion is then known to have happened, or known not to have; its files
are never lost while it lives, and never there twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from tests.chaos.service import Backends, Service, new_user, post, running_service, stored
from tests.chaos.truth import left_wrong, truth
from tests.fault_proxy import (
    Fault,
    answer_lost,
    answer_withheld,
    dynamodb_error,
    reset,
    truncated,
)

from image_service.api.dependencies import state_of
from image_service.domain.renditions import RENDITIONS

COMMIT = rb'"renditions"'  # what only the transaction that adds an image holds
MARK = rb"deletedAt"
INTENT = rb'"objectKeys"'
CLAIM = rb'"fingerprint"'
CANCELLATIONS = 25
# Up to three tries of a call are botocore's; whatever comes after is the service's own.
TRIES = [(answer_lost, 1), (truncated, 1), (reset, 2), (answer_lost, 4)]


@pytest.fixture(scope="module")
async def service(backends: Backends) -> AsyncIterator[Service]:
    place = await backends.apart("lost-answers")
    async with running_service(place) as running:
        yield running


@pytest.fixture
async def user(service: Service) -> AsyncIterator[str]:
    """Whoever it is, nothing may be left of them in the end but images and their files."""
    name = new_user()
    yield name
    service.heal()
    await state_of(service.app).services.uploads.aclose()  # what requests have left running
    assert await left_wrong(service.place, name) == []


async def is_whole(service: Service, user: str, *image_ids: str) -> None:
    """The user has these images, all files of each, counters and tags; nothing else."""
    found = await truth(service.place, user)
    assert sorted(found.images) == sorted(image_ids)
    assert len(found.objects) == len(RENDITIONS) * len(image_ids)
    assert found.wrong() == []


@pytest.mark.parametrize(("fault", "times"), TRIES)
async def test_a_commit_whose_answer_was_lost_is_one_image(
    service: Service, user: str, fault: Fault, times: int
):
    async with service.client(user) as client:
        rule = service.dynamodb.add(fault, on="TransactWriteItems", holding=COMMIT, times=times)
        first = await post(client, "key", tags="a", albumId="b")
        assert (rule.met, first.status_code) == (times, 201), first.text
        await is_whole(service, user, first.json()["id"])
        again = await post(client, "key", tags="a", albumId="b")
        assert again.headers["idempotency-replayed"] == "true"
        await is_whole(service, user, first.json()["id"])


async def never_answered(service: Service, user: str, fault: Fault, key: str | None) -> None:
    """It did happen, and its files may not go."""
    async with service.client(user) as client:
        service.dynamodb.add(fault, on="TransactWriteItems")
        first = await post(client, key)
        assert (first.status_code, first.json()["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
        found = await truth(service.place, user)
        assert len(found.images) == 1
        assert found.wrong() == []
        service.heal()
        await state_of(service.app).services.uploads.aclose()
        await is_whole(service, user, *found.images)
        if key is not None:
            again = await post(client, key)
            assert again.status_code == 201, again.text
            await is_whole(service, user, *found.images)


async def never_happened(service: Service, user: str, fault: Fault, key: str | None) -> None:
    async with service.client(user) as client:
        service.dynamodb.add(fault, on="TransactWriteItems", holding=COMMIT)
        assert (await post(client, key)).status_code == 503
        await state_of(service.app).services.uploads.aclose()
        await is_whole(service, user)
        service.heal()
        again = await post(client, key)
        assert again.status_code == 201, again.text
        await is_whole(service, user, again.json()["id"])


OUTAGES = {
    "lost": (never_answered, answer_lost, "key"),
    "withheld": (never_answered, answer_withheld, "key"),
    "withheld-without-key": (never_answered, answer_withheld, None),
    "cut": (never_answered, truncated, "key"),
    "throttled": (never_happened, dynamodb_error("ThrottlingException"), "key"),
    "refused": (never_happened, reset, "key"),
}


@pytest.fixture(scope="module", autouse=True)
async def outages(backends: Backends) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """They take as long as the service's patience; so they go on beside the other tests."""

    async def one(name: str) -> None:
        happens, fault, key = OUTAGES[name]
        async with running_service(
            await backends.apart(f"outage-{name}"), upload_deadline=8.0
        ) as service:
            await happens(service, user := new_user(), fault, key)
        assert await left_wrong(service.place, user) == []

    tasks = {name: asyncio.create_task(one(name)) for name in OUTAGES}
    yield tasks
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("fault", [answer_lost, reset])
@pytest.mark.parametrize(
    ("on", "holding"), [("PutItem", INTENT), ("PutItem", CLAIM), ("PUT", b""), ("PUT", b"thumb")]
)
async def test_one_try_of_any_other_call_is_made_again(
    service: Service, user: str, fault: Fault, on: str, holding: bytes
):
    async with service.client(user) as client:
        rule = (service.s3 if on == "PUT" else service.dynamodb).add(
            fault, on=on, holding=holding, times=1
        )
        response = await post(client, "key", albumId="b")
        assert (rule.met, response.status_code) == (1, 201), response.text
        await is_whole(service, user, response.json()["id"])


@pytest.mark.parametrize(
    ("on", "holding"),
    [("PutItem", INTENT), ("PutItem", CLAIM), ("PUT", b"thumbnails"), ("PUT", b"w640")],
)
async def test_an_upload_that_fails_half_way_leaves_nothing(
    service: Service, user: str, on: str, holding: bytes
):
    async with service.client(user) as client:
        proxy = service.s3 if on == "PUT" else service.dynamodb
        proxy.add(answer_lost, on=on, holding=holding)
        assert (await post(client, "key")).status_code == 503
        service.heal()
        await state_of(service.app).services.uploads.aclose()
        await is_whole(service, user)
        again = await post(client, "key")
        assert again.status_code == 201, again.text
        await is_whole(service, user, again.json()["id"])


@pytest.mark.parametrize("album", [{}, {"albumId": "b"}], ids=["", "in-album"])
@pytest.mark.parametrize(("fault", "times"), TRIES)
async def test_a_deletion_whose_answer_was_lost_is_done(
    service: Service, user: str, fault: Fault, times: int, album: dict[str, str]
):
    async with service.client(user) as client:
        image_id = await stored(client, tags="a", **album)
        rule = service.dynamodb.add(fault, on="TransactWriteItems", holding=MARK, times=times)
        assert (await client.delete(f"/images/{image_id}")).status_code == 204
        assert rule.met == times
        assert (await client.get(f"/images/{image_id}")).status_code == 404
        assert (await client.delete(f"/images/{image_id}")).status_code == 404
        await is_whole(service, user)


@pytest.mark.parametrize("album", [{}, {"albumId": "b"}], ids=["", "in-album"])
@pytest.mark.parametrize(("fault", "times"), TRIES)
async def test_an_edit_whose_answer_was_lost_is_made_once(
    service: Service, user: str, fault: Fault, times: int, album: dict[str, str]
):
    async with service.client(user) as client:
        image_id = await stored(client, tags="a", **album)
        rule = service.dynamodb.add(fault, on="TransactWriteItems", times=times)
        edit = {"title": "x", "albumId": "c", "tags": ["b"], "version": 1}
        response = await client.patch(f"/images/{image_id}", json=edit)
        assert (rule.met, response.status_code) == (times, 200), response.text
        shown = (await client.get(f"/images/{image_id}")).json()
        assert (shown["version"], shown["title"]) == (2, "x")
        await is_whole(service, user, image_id)


async def test_a_client_that_goes_away_leaves_a_whole_image_or_none(service: Service, user: str):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown where it fails
    moments = random.Random(seed)
    async with service.client(user) as client:
        for turn in range(CANCELLATIONS):
            upload = asyncio.create_task(post(client, f"key-{turn % 5}", tags="a", albumId="b"))
            await asyncio.sleep(moments.uniform(0, 0.25))
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
        await state_of(service.app).services.uploads.aclose()
        found = await truth(service.place, user)
        assert found.wrong() == []
        assert len(found.images) <= 5  # one a key
        for turn in range(5):
            again = await post(client, f"key-{turn}", tags="a", albumId="b")
            assert again.status_code == 201, again.text
        found = await truth(service.place, user)
        assert (len(found.images), len(found.objects), found.wrong()) == (
            5,
            5 * len(RENDITIONS),
            [],
        )


@pytest.mark.parametrize("name", OUTAGES)
async def test_a_commit_in_a_long_outage_is_whole_or_not_at_all(
    outages: dict[str, asyncio.Task[None]], name: str
):
    await outages[name]
