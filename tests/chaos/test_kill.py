"""The real server, killed in the middle of everything, over and over.

Each round: a stream of concurrent uploads and deletions, SIGKILL at a random moment, a new
start, and what time would bring (leases run out, the worker and the sweeper come by; every
few rounds `reconcile --fix` in their place). Then all that was acknowledged has to be there
whole, or gone, and nothing else.

IMAGE_SERVICE_CHAOS_ROUNDS says how many rounds, IMAGE_SERVICE_TEST_SEED repeats a run's dice
(though never the machine's timing).
"""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from PIL import Image
from tests import pictures, times
from tests.chaos.real_server import RealServer, environment
from tests.chaos.service import Backends, new_user, post
from tests.chaos.truth import Place, expire_leases, reconcile, settle, truth
from tests.dice import SEED

from image_service.devstack import stack

ROUNDS = int(os.environ.get("IMAGE_SERVICE_CHAOS_ROUNDS", "2"))
CLIENTS = 8
LONGEST_STREAM = 1.5  # seconds
RECONCILED_EVERY = 5  # rounds
FILES = [pictures.jpeg(100 + 330 * n, 300 - 30 * n) for n in range(6)]  # of two files to five
FEW = 60  # images; more would only take longer to look at
MARGIN = 30.0  # seconds a request may take on a busy machine


@dataclass
class Ledger:
    """What clients know. Images by their idempotency key, which is their title too."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # key -> id
    unanswered: dict[str, bytes] = field(default_factory=dict)  # key -> file
    deleted: set[str] = field(default_factory=set)  # ids
    perhaps_deleted: set[str] = field(default_factory=set)  # ids
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def alive(self) -> set[str]:
        return set(self.acknowledged.values()) - self.deleted - self.perhaps_deleted


@pytest.fixture
async def apart(backends: Backends) -> Place:
    return (await backends.apart("kill")).place


@pytest.fixture
async def server(apart: Place) -> AsyncIterator[RealServer]:
    made = RealServer(environment(apart, log_level="error"), times.command(outbox_poll=0.2))
    yield made
    made.close()


@pytest.mark.timeout(0)
async def test_nothing_is_lost_and_nothing_left_by_kills(
    backends: Backends, apart: Place, server: RealServer, capsys: pytest.CaptureFixture[str]
):
    dice, ledger, user = random.Random(SEED), Ledger(), new_user()
    token = backends.issuer.token(
        user, issuer=stack.ISSUER, client_id=stack.CLIENT_ID, ttl_seconds=86_400
    )
    client = httpx.AsyncClient(
        base_url=server.url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=MARGIN,
        trust_env=False,
    )
    async with client:
        await server.start()
        for turn in range(ROUNDS):
            await stream_until_killed(client, server, ledger, dice)
            await server.start()
            await expire_leases(apart)
            if turn % RECONCILED_EVERY == RECONCILED_EVERY - 1 or turn == ROUNDS - 1:
                done = await reconcile(apart)
                assert done.clean, f"seed {SEED}, round {turn}: {done.findings}"
            await settle(apart)
            await check(client, apart, ledger, f"seed {SEED}, round {turn}")
            with capsys.disabled():
                print(f"\rseed {SEED}, round {turn + 1}: {dict(ledger.counts)}", end=" ")  # noqa: T201 - the figures


async def stream_until_killed(
    client: httpx.AsyncClient, server: RealServer, ledger: Ledger, dice: random.Random
) -> None:
    streams = [
        asyncio.create_task(stream(client, ledger, random.Random(dice.random())))
        for _ in range(CLIENTS)
    ]
    await asyncio.sleep(dice.uniform(0.02, LONGEST_STREAM))
    server.kill()
    await asyncio.gather(*streams)
    ledger.counts["kills"] += 1


async def stream(client: httpx.AsyncClient, ledger: Ledger, dice: random.Random) -> None:
    """Uploads and deletions until nobody answers any more."""
    while True:
        try:
            if ledger.alive and dice.random() < (0.4 if len(ledger.alive) < FEW else 0.7):
                await delete(client, ledger, dice.choice(sorted(ledger.alive)))
            else:
                key = f"{dice.randrange(2**60):x}"
                await upload(client, ledger, key, dice.choice(FILES))
        except httpx.TransportError:
            return


async def upload(client: httpx.AsyncClient, ledger: Ledger, key: str, data: bytes) -> None:
    ledger.unanswered[key] = data
    answer = await post(client, key, data, title=key, tags=["a", key[:1]], albumId=key[:1])
    assert answer.status_code == 201, answer.text
    del ledger.unanswered[key]
    ledger.acknowledged[key] = answer.json()["id"]
    ledger.counts["uploads"] += 1


async def delete(client: httpx.AsyncClient, ledger: Ledger, image_id: str) -> None:
    ledger.perhaps_deleted.add(image_id)
    answer = await client.delete(f"/images/{image_id}")
    assert answer.status_code == 204, answer.text
    ledger.deleted.add(image_id)
    ledger.counts["deletions"] += 1


async def check(client: httpx.AsyncClient, place: Place, ledger: Ledger, when: str) -> None:
    ledger.counts["cut off"] += len(ledger.unanswered)
    for key, data in list(ledger.unanswered.items()):
        await upload(client, ledger, key, data)  # what a client does that got no answer
    found = await truth(place)
    assert found.wrong(settled=True) == [], when
    titles = Counter(image["title"] for image in found.images.values())
    assert titles.total() == len(titles), f"{when}: an upload was stored twice"
    assert titles.keys() <= ledger.acknowledged.keys(), when
    assert found.images.keys() >= ledger.alive, f"{when}: an acknowledged upload is lost"
    assert not found.images.keys() & ledger.deleted, f"{when}: a deleted image is back"
    for image_id in random.sample(sorted(ledger.alive), min(10, len(ledger.alive))):
        await is_whole(client, place, image_id)
    for image_id in random.sample(sorted(ledger.deleted), min(5, len(ledger.deleted))):
        assert (await client.get(f"/images/{image_id}")).status_code == 404
    # Whatever became of a deletion that was cut off, from here on it is known.
    ledger.deleted |= ledger.perhaps_deleted - found.images.keys()
    ledger.perhaps_deleted = set(ledger.deleted)


async def is_whole(client: httpx.AsyncClient, place: Place, image_id: str) -> None:
    image = (await client.get(f"/images/{image_id}")).json()
    cdn = image["imageUrl"].removesuffix(image["s3Key"])
    for key, size in (
        (image["thumbnailKey"], (image["thumbnailWidth"], image["thumbnailHeight"])),
        *(
            (each["url"].removeprefix(cdn), (each["width"], each["height"]))
            for each in image["renditions"]
        ),
    ):
        answer = await place.s3.get_object(Bucket=place.bucket, Key=key)
        with Image.open(io.BytesIO(await answer["Body"].read())) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("WEBP", size)
