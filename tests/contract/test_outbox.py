from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.contract.samples import make_image, moment

from image_service.domain.outbox import CachePurge, Clearing, Lease, OutboxEntry, OutboxQueue, Step
from image_service.ports import ImageRepository, Outbox

DUE = moment(100)
MANY = 1_000


def lease(owner: str, now: datetime = DUE) -> Lease:
    return Lease(owner, now + timedelta(seconds=60))


def concerns(entry: OutboxEntry, user: str) -> bool:
    work = entry.work
    if isinstance(work, CachePurge):
        return work.user_id == user
    return work.deletions[0].user_id == user


async def take(
    outbox: Outbox,
    user: str,
    now: datetime = DUE,
    owner: str = "me",
    queues: Sequence[OutboxQueue] = tuple(OutboxQueue),
) -> list[OutboxEntry]:
    held = lease(owner + user, now)
    taken = [entry for queue in queues for entry in await outbox.take(queue, held, now, MANY)]
    return [entry for entry in taken if concerns(entry, user)]


async def deleted_image(repository: ImageRepository, user: str) -> OutboxEntry:
    image = make_image(user)
    await repository.add(image)
    return await repository.mark_deleted(image, moment(0))


def note(user: str, at: datetime) -> OutboxEntry:
    """One of its own, as those are that were put off."""
    return OutboxEntry.new(CachePurge(user, frozenset({"image"})), at)


async def test_a_deletion_comes_due(repository: ImageRepository, outbox: Outbox, user: str) -> None:
    entry = await deleted_image(repository, user)

    assert await take(outbox, user, now=moment(29)) == []
    (taken,) = await take(outbox, user, now=moment(30))

    assert replace(taken, lease=None) == entry
    assert isinstance(taken.work, Clearing)
    assert taken.work.step is Step.OBJECTS


async def test_a_note_for_the_cache_comes_due(outbox: Outbox, user: str) -> None:
    await outbox.add_cache_purge(user, "01ARZ3NDEKTSV4RRFFQ69G5FAV", moment(1))

    assert await take(outbox, user, now=moment(0.999)) == []
    (taken,) = await take(outbox, user, now=moment(11))

    assert taken.work == CachePurge(user, frozenset({"01ARZ3NDEKTSV4RRFFQ69G5FAV"}))
    assert await outbox.replace([taken], None)
    assert await take(outbox, user, now=moment(1_000)) == []


async def test_what_the_cache_missed_of_a_user_is_one_note(outbox: Outbox, user: str) -> None:
    for number in range(20):
        await outbox.add_cache_purge(user, f"image-{number % 10}", moment(number / 10))
    await outbox.add_cache_purge(f"{user}-2", "theirs", moment(1))
    await outbox.add_cache_purge(user, "later", moment(20))

    one, other = await take(outbox, user, now=moment(30))

    assert [entry.work for entry in sorted((one, other), key=lambda entry: entry.due_at)] == [
        CachePurge(user, frozenset(f"image-{number}" for number in range(10))),
        CachePurge(user, frozenset({"later"})),
    ]


async def test_a_note_that_grows_is_nobodys_again(outbox: Outbox, user: str) -> None:
    """Who holds it does not know of what came to it, and so must not remove it."""
    await outbox.add_cache_purge(user, "first", moment(1))
    (held,) = await take(outbox, user)
    await outbox.add_cache_purge(user, "second", moment(1))

    assert not await outbox.replace([held], None)

    (again,) = await take(outbox, user, owner="other")
    assert again.work == CachePurge(user, frozenset({"first", "second"}))
    assert await outbox.replace([again], None)
    assert await take(outbox, user, now=moment(1_000)) == []


async def test_lanes_are_apart(repository: ImageRepository, outbox: Outbox, user: str) -> None:
    entry = await deleted_image(repository, user)
    gone = entry.deletions
    for step in (Step.CDN, Step.PURGE):
        await outbox.add(OutboxEntry.new(Clearing(step, gone), moment(1)))
    await outbox.add_cache_purge(user, "A", moment(1))

    taken = {queue: await take(outbox, user, queues=[queue]) for queue in OutboxQueue}

    assert [entry.id for entry in taken[OutboxQueue.FILES]] == [entry.id]
    assert {entry.work for entry in taken[OutboxQueue.CDN]} == {
        Clearing(Step.CDN, gone),
        Clearing(Step.PURGE, gone),
    }
    assert [entry.work for entry in taken[OutboxQueue.CACHE]] == [
        CachePurge(user, frozenset({"A"}))
    ]


async def test_a_batch_outlives_the_images_it_forgets(
    repository: ImageRepository, outbox: Outbox, user: str
) -> None:
    """Also one that was read again, by whoever took it over from a dead task."""
    for _ in range(3):
        await deleted_image(repository, user)
    taken = await take(outbox, user)
    deletions = tuple(gone for entry in taken for gone in entry.deletions)
    batch = OutboxEntry.new(Clearing(Step.PURGE, deletions), DUE, lease(f"me{user}"))
    assert await outbox.replace(taken, batch)
    (heir,) = await take(outbox, user, now=DUE + timedelta(seconds=61), owner="heir")

    await repository.forget(heir.deletions[0])

    (again,) = await take(outbox, user, now=DUE + timedelta(seconds=200))
    assert (again.id, again.work) == (batch.id, batch.work)
    for gone in again.deletions:
        await repository.forget(gone)
    assert await outbox.replace([again], None)
    assert await take(outbox, user, now=moment(10_000)) == []


async def test_what_one_holds_no_other_takes_until_the_lease_is_over(
    outbox: Outbox, user: str
) -> None:
    await outbox.add_cache_purge(user, "A", moment(1))

    (held,) = await take(outbox, user, owner="one")
    assert await take(outbox, user, owner="two") == []
    (inherited,) = await take(outbox, user, now=DUE + timedelta(seconds=61), owner="two")

    assert not await outbox.replace([held], None)
    assert not await outbox.give_up(held)
    assert await outbox.replace([inherited], None)


async def test_of_many_takers_each_entry_has_one(outbox: Outbox, user: str) -> None:
    for number in range(20):
        await outbox.add(note(user, moment(number)))

    takes = await asyncio.gather(*(take(outbox, user, owner=f"{n}") for n in range(5)))

    taken = [entry.id for entries in takes for entry in entries]
    assert len(taken) == len(set(taken)) == 20


async def test_a_take_is_bounded(outbox: Outbox, user: str) -> None:
    for number in range(5):
        await outbox.add(note(user, moment(number)))

    taken = await outbox.take(OutboxQueue.CACHE, lease(f"bounded-{user}"), DUE, 3)

    assert len(taken) == 3


async def test_entries_become_one(repository: ImageRepository, outbox: Outbox, user: str) -> None:
    for _ in range(90):
        await deleted_image(repository, user)
    taken = await take(outbox, user)
    deletions = tuple(d for e in taken if isinstance(e.work, Clearing) for d in e.work.deletions)
    batch = OutboxEntry.new(Clearing(Step.PURGE, deletions), DUE, lease(f"me{user}"))

    assert await outbox.replace(taken, batch)

    assert await take(outbox, user) == []
    (again,) = await take(outbox, user, now=DUE + timedelta(seconds=61))
    assert again.id == batch.id
    assert isinstance(again.work, Clearing)
    assert [d.image_id for d in again.work.deletions] == [d.image_id for d in deletions]
    assert [d.object_keys for d in again.work.deletions] == [d.object_keys for d in deletions]
    assert await outbox.replace([again], None)


async def test_all_are_replaced_or_none(outbox: Outbox, user: str) -> None:
    for _ in range(2):
        await outbox.add(note(user, moment(1)))
    first, second = await take(outbox, user)
    assert await outbox.replace([first], None)

    assert not await outbox.replace([first, second], None)

    assert await outbox.replace([second], None)


async def test_a_fresh_entry_is_moved_on_by_who_wrote_it(
    repository: ImageRepository, outbox: Outbox, user: str
) -> None:
    entry = await deleted_image(repository, user)
    assert isinstance(entry.work, Clearing)
    following = OutboxEntry.new(replace(entry.work, step=Step.CDN), moment(1))

    assert await outbox.replace([entry], following)
    assert not await outbox.replace([entry], following)

    (taken,) = await take(outbox, user, now=moment(1))
    assert taken.id == following.id


async def test_a_fresh_entry_that_a_worker_took_is_the_workers(
    repository: ImageRepository, outbox: Outbox, user: str
) -> None:
    entry = await deleted_image(repository, user)
    (taken,) = await take(outbox, user)

    assert not await outbox.replace([entry], None)

    assert await outbox.replace([taken], None)


async def test_a_later_date_is_kept_to(outbox: Outbox, user: str) -> None:
    await outbox.add_cache_purge(user, "A", moment(1))
    (taken,) = await take(outbox, user)
    later = replace(taken, due_at=moment(500), tries=taken.tries + 1, lease=None)

    assert await outbox.replace([taken], later)

    assert await take(outbox, user, now=moment(499)) == []
    (again,) = await take(outbox, user, now=moment(500))
    assert (again.id, again.tries) == (taken.id, 1)


@pytest.mark.parametrize("tries", [0, 40])
async def test_what_is_set_aside_can_be_brought_back(outbox: Outbox, user: str, tries: int) -> None:
    await outbox.add(replace(note(user, moment(1)), tries=tries))
    (taken,) = await take(outbox, user)

    assert await outbox.give_up(taken)

    assert await take(outbox, user, now=moment(1_000)) == []
    (dead_letter,) = [entry async for entry in outbox.dead_letters() if concerns(entry, user)]
    await outbox.revive(dead_letter, moment(200))
    await outbox.revive(dead_letter, moment(300))
    assert [entry async for entry in outbox.dead_letters() if concerns(entry, user)] == []
    (back,) = await take(outbox, user, now=moment(1_000))
    assert (back.id, back.due_at, back.tries) == (taken.id, moment(200), 0)
