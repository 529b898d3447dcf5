"""Requests that meet: whatever their order turns out to be, it was one after the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import chain

import httpx
import pytest
from tests.chaos.service import Backends, Service, new_user, post, running_service, stored
from tests.chaos.truth import left_wrong

ROUNDS = 4
WRITERS = 8
STABLE = 12  # images that nobody touches

Call = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
async def tasks(backends: Backends) -> AsyncIterator[list[Service]]:
    """Two tasks of the service, on one table, one bucket and one Redis."""
    apart = await backends.apart("races")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_service(apart, with_redis=True))
            for _ in range(2)
        ]


@pytest.fixture
async def clients(tasks: list[Service]) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    """One user at both tasks; in the end nothing may be wrong with what is theirs."""
    user = new_user()
    async with tasks[0].client(user) as one, tasks[1].client(user) as two:
        yield one, two
    assert await left_wrong(tasks[0].place, user) == []


Clients = tuple[httpx.AsyncClient, httpx.AsyncClient]


async def at_once(*calls: Awaitable[httpx.Response]) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def test_exactly_one_edit_of_each_version_wins(clients: Clients):
    image_id = await stored(clients[0], albumId="start", tags="t")
    for version in range(1, ROUNDS + 1):
        edits = [
            {"title": f"{version}-{n}", "albumId": f"album-{n % 3}", "tags": [f"tag-{n}"]}
            for n in range(WRITERS)
        ]
        answers = await at_once(
            *(
                clients[n % 2].patch(f"/images/{image_id}", json={**edit, "version": version})
                for n, edit in enumerate(edits)
            )
        )
        assert statuses(answers) == {200: 1, 409: WRITERS - 1}
        (won,) = (answer.json() for answer in answers if answer.status_code == 200)
        assert won["version"] == version + 1
        for lost in (answer.json() for answer in answers if answer.status_code == 409):
            assert (lost["code"], lost["currentVersion"]) == ("VERSION_MISMATCH", version + 1)
        shown = [(await client.get(f"/images/{image_id}")).json() for client in clients]
        assert shown == [won, won]


async def test_edits_of_any_version_all_happen_one_after_the_other(clients: Clients):
    image_id = await stored(clients[0])
    answers = await at_once(
        *(
            clients[n % 2].patch(
                f"/images/{image_id}", json={"title": str(n)}, headers={"If-Match": "*"}
            )
            for n in range(WRITERS)
        )
    )
    assert statuses(answers).keys() <= {200, 412}  # 412: overtaken ten times over
    won = sorted(answer.json()["version"] for answer in answers if answer.status_code == 200)
    assert won == list(range(2, len(won) + 2))
    assert (await clients[1].get(f"/images/{image_id}")).json()["version"] == len(won) + 1


@pytest.mark.parametrize("album", [{}, {"albumId": "only-one"}], ids=["", "in-album"])
async def test_a_deletion_against_edits_is_final(clients: Clients, album: dict[str, str]):
    for _ in range(ROUNDS):
        image_id = await stored(clients[0], tags="t", **album)
        path = f"/images/{image_id}"
        *edits, deleted = await at_once(
            *(
                clients[n % 2].patch(path, json={"title": str(n), "version": 1, "tags": ["u"]})
                for n in range(3)
            ),
            clients[1].delete(path),
        )
        assert deleted.status_code == 204, deleted.text
        assert statuses(edits).keys() <= {200, 404, 409}
        assert statuses(edits)[200] <= 1
        after = await at_once(
            clients[0].get(path),
            clients[1].get(path),
            clients[0].patch(path, json={"title": "late"}, headers={"If-Match": "*"}),
        )
        assert statuses(after) == {404: 3}


async def test_of_many_deletions_one_wins(clients: Clients):
    image_id = await stored(clients[0], tags="t", albumId="b")
    answers = await at_once(*(clients[n % 2].delete(f"/images/{image_id}") for n in range(6)))
    assert statuses(answers) == {204: 1, 404: 5}


async def test_a_deletion_against_replays_of_its_upload_is_final(clients: Clients):
    for turn in range(ROUNDS):
        key = f"key-{turn}"
        first = await post(clients[0], key, title=key, albumId="b")
        image_id = first.json()["id"]
        deleted, *replays = await at_once(
            clients[1].delete(f"/images/{image_id}"),
            *(post(clients[n % 2], key, title=key, albumId="b") for n in range(4)),
        )
        assert deleted.status_code == 204
        for replay in replays:
            assert (replay.status_code, replay.content) == (201, first.content)
            assert replay.headers["idempotency-replayed"] == "true"
        assert (await clients[0].get(f"/images/{image_id}")).status_code == 404
        assert (await clients[1].get("/images?albumId=b")).json()["totalCount"] == 0


async def test_copies_of_an_upload_while_others_delete_make_one_image(clients: Clients):
    other = await stored(clients[0], albumId="b")
    answers = await at_once(
        *(post(clients[n % 2], "key", albumId="b") for n in range(WRITERS)),
        clients[1].delete(f"/images/{other}"),
    )
    assert statuses(answers[:-1]).keys() <= {201, 409}
    assert len({a.json()["id"] for a in answers[:-1] if a.status_code == 201}) == 1
    assert answers[-1].status_code == 204
    assert (await clients[0].get("/images?albumId=b")).json()["totalCount"] == 1


@pytest.mark.parametrize(
    ("filters", "order"), [("", "asc"), ("", "desc"), ("&albumId=b", "desc"), ("&tag=t", "asc")]
)
async def test_a_walk_while_others_write_misses_nothing_that_stays(
    clients: Clients, order: str, filters: str
):
    images = await asyncio.gather(
        *(stored(clients[n % 2], albumId="b", tags="t") for n in range(STABLE * 3 // 2))
    )
    stable = (await walk(clients[0], f"limit=100&sortOrder={order}"))[::2]
    doomed = sorted(set(images) - set(stable))
    writing = asyncio.create_task(write(clients, doomed))
    walks = [walk(clients[n % 2], f"limit=3&sortOrder={order}{filters}") for n in range(3)]
    walked = await asyncio.gather(*walks)
    made = await writing
    for ids in walked:
        assert len(ids) == len(set(ids)), "an image was listed twice"
        missing = set(stable) - set(ids)
        assert not missing
        assert set(ids) <= {*stable, *doomed, *made}
        assert [image_id for image_id in ids if image_id in set(stable)] == stable


async def write(clients: Clients, doomed: list[str]) -> list[str]:
    """Delete those one after the other, and upload as many in between."""
    made = []
    for number, image_id in enumerate(doomed):
        _, new = await at_once(
            clients[0].delete(f"/images/{image_id}"), post(clients[1], albumId="b", tags="t")
        )
        assert new.status_code == 201, new.text
        made.append(new.json()["id"])
        if number % 2:
            await clients[1].patch(f"/images/{made[-1]}", json={"version": 1, "albumId": "c"})
    return made


async def walk(client: httpx.AsyncClient, query: str) -> list[str]:
    pages, cursor = [], ""
    while True:
        page = (await client.get(f"/images?{query}{cursor}")).json()
        pages.append([image["id"] for image in page["images"]])
        if not page["pagination"]["hasMore"]:
            return list(chain.from_iterable(pages))
        cursor = f"&cursor={page['pagination']['nextCursor']}"
