"""Every order in which readers and writers can meet at the cache, on Redis itself.

A reader takes three steps (ask Redis, read the store, fill), a writer three (announce,
commit, finish). All interleavings are run; in none may Redis hold, in the end, anything but
what the store holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.contract.samples import make_image

from image_service.adapters.redis import RedisImageCache, open_redis
from image_service.adapters.redis.link import RedisLink
from image_service.domain.errors import DependencyUnavailable, OutcomeUnknown
from image_service.domain.images import Image
from image_service.domain.listing import Listing, ListQuery, Page
from image_service.telemetry.telemetry import Telemetry

_AT_ONCE = 40
_LAPSE = """
local state = redis.call('HGETALL', KEYS[1])
for i = 1, #state, 2 do
  if state[i] ~= 'token' then
    redis.call('HINCRBY', KEYS[1], state[i], -ARGV[1])
  end
end
"""
READER = "R"
OTHER_READER = "S"
WRITER = "W"
OTHER_WRITER = "V"


def interleavings(lengths: dict[str, int]) -> Iterator[str]:
    """Every order of the steps of all actors, each actor's own in its order."""
    if not any(lengths.values()):
        yield ""
    for name, left in lengths.items():
        if left:
            for rest in interleavings(lengths | {name: left - 1}):
                yield name + rest


def is_first_of_its_kind(schedule: str) -> bool:
    """Of two schedules that differ only by who is called R and who S, or W and V, one."""
    return all(
        name in schedule and schedule.index(name) < schedule.index(other)
        for name, other in ((READER, OTHER_READER), (WRITER, OTHER_WRITER))
        if other in schedule
    )


class Actor:
    """A coroutine that moves one step at a time; its steps are divided by `pause`."""

    def __init__(self, body: Callable[[Actor], Awaitable[None]]) -> None:
        self._go: asyncio.Queue[None] = asyncio.Queue()
        self._stopped: asyncio.Queue[None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(body))

    async def _run(self, body: Callable[[Actor], Awaitable[None]]) -> None:
        try:
            await self._go.get()
            await body(self)
        finally:
            self._stopped.put_nowait(None)

    async def pause(self) -> None:
        self._stopped.put_nowait(None)
        await self._go.get()

    async def step(self) -> None:
        if not self._task.done():
            self._go.put_nowait(None)
            await self._stopped.get()
            await asyncio.sleep(0)

    async def die(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def end(self) -> None:
        await self._task


class FlakyLink(RedisLink):
    """A link of one task that can be cut."""

    down = False

    async def run(self, *arguments: Any) -> Any:
        if self.down:
            raise DependencyUnavailable
        return await super().run(*arguments)


@dataclass
class Tasks:
    """Two tasks of the service on one Redis, with the outbox they share."""

    raw: Redis
    links: list[FlakyLink]
    caches: list[RedisImageCache]
    purges: list[tuple[str, str]]

    async def lapse(self, user: str, seconds: int) -> None:
        """Time passes, as far as the user's state is concerned."""
        await self.raw.eval(_LAPSE, 1, f"user:{user}:generation", str(seconds * 1000))

    async def evict(self, user: str) -> None:
        """Redis is short of memory, and takes what the rules are made of."""
        await self.raw.delete(f"user:{user}:generation", f"user:{user}:cache_keys")


@pytest.fixture
async def tasks(redis_url: str) -> AsyncIterator[Tasks]:
    purges: list[tuple[str, str]] = []

    async def add_purge(user_id: str, image_id: str, at: object) -> None:
        purges.append((user_id, image_id))

    async with (
        Redis.from_url(redis_url) as raw,
        open_redis(redis_url, within=30) as one,
        open_redis(redis_url, within=30) as other,
    ):
        links = [FlakyLink(link._client, link._breaker, timeout=30) for link in (one, other)]
        caches = [
            RedisImageCache(link, add_purge=add_purge, telemetry=Telemetry()) for link in links
        ]
        yield Tasks(raw, links, caches, purges)


class World:
    """One image of one user, the list it is in, and who works on it."""

    def __init__(self, tasks: Tasks, *, lagging: bool = False) -> None:
        self.tasks = tasks
        self.user = f"user-{secrets.token_hex(6)}"
        self.stored = make_image(self.user)
        self.indexed = self.stored
        self._lagging = lagging
        self.finished_writes = 0
        self.stale_reads = 0

    async def get(self, cache: RedisImageCache, pause: Callable[[], Awaitable[None]]) -> Image:
        async def read() -> Image:
            await pause()
            found = self.stored
            await pause()
            return found

        image = await cache.image(self.user, self.stored.id, read)
        assert image is not None
        return image

    async def first_of_list(
        self, cache: RedisImageCache, pause: Callable[[], Awaitable[None]]
    ) -> Image:
        async def read() -> Listing:
            await pause()
            found = self.indexed if self._lagging else self.stored
            await pause()
            return Listing(Page((found,), None), 1)

        return (await cache.listing(self.user, ListQuery(), read)).page.images[0]

    def reader(self, part: str, task: int) -> Actor:
        cache = self.tasks.caches[task]

        async def body(actor: Actor) -> None:
            known = self.finished_writes
            look = self.get if part == "image" else self.first_of_list
            found = await look(cache, actor.pause)
            if found.version <= known:  # a write that was over before the reader began
                self.stale_reads += 1

        return Actor(body)

    def writer(self, task: int, *, fail: str = "") -> Actor:
        cache, link = self.tasks.caches[task], self.tasks.links[task]

        async def body(actor: Actor) -> None:
            link.down = "before" in fail
            async with cache.writing(self.user, self.stored.id):
                link.down = False
                await actor.pause()
                self.stored = replace(self.stored, version=self.stored.version + 1)
                await actor.pause()
                link.down = "after" in fail
            link.down = False
            self.finished_writes += 1

        return Actor(body)

    async def warm(self) -> None:
        """A user whom Redis knows, with everything cached."""
        await self.get(self.tasks.caches[0], _at_once)
        await self.tasks.lapse(self.user, 5)
        await self.first_of_list(self.tasks.caches[0], _at_once)

    async def cached(self, part: str) -> int | None:
        """The version a reader of either task gets without the store; None: not cached."""
        look = self.get if part == "image" else self.first_of_list

        async def missed() -> None:
            raise LookupError

        try:
            return (await look(self.tasks.caches[1], missed)).version
        except LookupError:
            return None


async def _at_once() -> None:
    pass


async def run_all(
    schedules: Sequence[str], run: Callable[[str], Awaitable[int | None]]
) -> list[int | None]:
    """Many at a time: each has a user of its own."""
    outcomes: list[int | None] = []
    for start in range(0, len(schedules), _AT_ONCE):
        batch = schedules[start : start + _AT_ONCE]
        outcomes += await asyncio.gather(*(run(schedule) for schedule in batch))
    return outcomes


async def play(schedule: str, actors: dict[str, Actor]) -> None:
    for name in schedule:
        await actors[name].step()
    for actor in actors.values():
        await actor.end()


@pytest.mark.parametrize(("part", "warm"), [("image", True), ("page", True), ("image", False)])
@pytest.mark.parametrize(
    "cast", [{READER: 3, OTHER_READER: 3, WRITER: 3}, {READER: 3, WRITER: 3, OTHER_WRITER: 3}]
)
async def test_no_order_leaves_old_data(
    tasks: Tasks, part: str, warm: bool, cast: dict[str, int]
) -> None:
    async def run(schedule: str) -> int | None:
        world = World(tasks)
        if warm:
            await world.warm()
        roles = {
            READER: lambda: world.reader(part, 0),
            OTHER_READER: lambda: world.reader(part, 1),
            WRITER: lambda: world.writer(1),
            OTHER_WRITER: lambda: world.writer(0),
        }
        await play(schedule, {name: roles[name]() for name in cast})
        cached = await world.cached(part)
        assert cached in {None, world.stored.version}, schedule
        assert not world.stale_reads, schedule
        return cached

    schedules = [s for s in interleavings(cast) if is_first_of_its_kind(s)]
    outcomes = await run_all(schedules, run)
    assert len(outcomes) == 840
    if part == "image":
        assert any(outcomes)  # else nothing would have been shown


@pytest.mark.parametrize("part", ["image", "page"])
async def test_a_writer_that_dies_after_its_commit_leaves_no_old_data(
    tasks: Tasks, part: str
) -> None:
    async def run(schedule: str) -> int | None:
        world = World(tasks)
        await world.warm()
        actors = {READER: world.reader(part, 0), WRITER: world.writer(1)}
        for name in schedule:
            if name == "L":  # the lease of the dead runs out
                await actors[WRITER].die()
                await tasks.lapse(world.user, 60)
            else:
                await actors[name].step()
        await actors[READER].end()
        await tasks.lapse(world.user, 5)
        cached = await world.cached(part)
        assert cached in {None, 2}, schedule
        # From then on the user is cached again.
        look = world.get if part == "image" else world.first_of_list
        await look(tasks.caches[0], _at_once)
        assert await world.cached(part) == 2, schedule
        return cached

    schedules = [
        schedule
        for schedule in interleavings({READER: 3, WRITER: 2, "L": 1})
        if schedule.rindex(WRITER) < schedule.index("L")
    ]
    await run_all(schedules, run)


@pytest.mark.parametrize("part", ["image", "page"])
async def test_a_commit_that_comes_after_its_writer_gave_up_leaves_no_old_data(
    tasks: Tasks, part: str
) -> None:
    """`C`: the store carries out what it had not answered; `L`: the lease runs out."""

    async def run(schedule: str) -> int | None:
        world = World(tasks)
        await world.warm()

        async def give_up(actor: Actor) -> None:
            with contextlib.suppress(OutcomeUnknown):
                async with tasks.caches[1].writing(world.user, world.stored.id):
                    await actor.pause()
                    raise OutcomeUnknown

        actors = {READER: world.reader(part, 0), WRITER: Actor(give_up)}
        for name in schedule:
            if name == "C":
                world.stored = replace(world.stored, version=2)
            elif name == "L":
                await tasks.lapse(world.user, 60)
            else:
                await actors[name].step()
        for actor in actors.values():
            await actor.end()
        assert await world.cached(part) in {None, 2}, schedule
        return None

    schedules = [
        schedule
        for schedule in interleavings({READER: 3, WRITER: 2, "C": 1, "L": 1})
        if schedule.rindex(WRITER) < schedule.index("C") < schedule.index("L")
    ]
    await run_all(schedules, run)


async def test_a_page_read_from_a_lagging_index_is_never_frozen(tasks: Tasks) -> None:
    """`I`: the index catches up, within the time of the fence; `L`: that time is over."""

    async def run(schedule: str) -> int | None:
        world = World(tasks, lagging=True)
        await world.warm()
        actors = {READER: world.reader("page", 0), WRITER: world.writer(1)}
        for name in schedule:
            if name == "I":
                world.indexed = world.stored
            elif name == "L":
                await tasks.lapse(world.user, 5)
            else:
                await actors[name].step()
        for actor in actors.values():
            await actor.end()
        cached = await world.cached("page")
        assert cached in {None, 2}, schedule
        return cached

    def possible(schedule: str) -> bool:
        commit = schedule.index(WRITER, schedule.index(WRITER) + 1)
        over = schedule.rindex(WRITER)
        return commit < schedule.index("I") < schedule.index("L") > over

    cast = {READER: 3, WRITER: 3, "I": 1, "L": 1}
    outcomes = await run_all([s for s in interleavings(cast) if possible(s)], run)
    assert any(outcomes)


@pytest.mark.parametrize("part", ["image", "page"])
async def test_eviction_of_the_rules_themselves_lets_nothing_old_in(
    tasks: Tasks, part: str
) -> None:
    async def run(schedule: str) -> int | None:
        world = World(tasks)
        await world.warm()
        actors = {
            READER: world.reader(part, 0),
            OTHER_READER: world.reader(part, 1),
            WRITER: world.writer(1),
        }
        for name in schedule:
            await (tasks.evict(world.user) if name == "E" else actors[name].step())
        for actor in actors.values():
            await actor.end()
        cached = await world.cached(part)
        assert cached in {None, 2}, schedule
        assert not world.stale_reads, schedule
        return cached

    cast = {READER: 3, OTHER_READER: 3, WRITER: 3, "E": 1}
    schedules = [s for s in interleavings(cast) if is_first_of_its_kind(s)]
    await run_all(schedules[::11], run)  # 8,400 would take too long; a fixed share of them


@pytest.mark.parametrize("part", ["image", "page"])
@pytest.mark.parametrize("fail", ["before", "after", "before, after"])
async def test_a_writer_cut_off_from_redis(tasks: Tasks, part: str, fail: str) -> None:
    """What it could not take back is gone once the purge is done, and stays gone.

    One schedule at a time: the purge is what the task owes, and it pays when next asked.
    """
    for schedule in interleavings({READER: 3, WRITER: 3, "P": 1}):
        if schedule.rindex(WRITER) > schedule.index("P"):
            continue
        world = World(tasks)
        await world.warm()
        tasks.purges.clear()
        actors = {READER: world.reader(part, 0), WRITER: world.writer(1, fail=fail)}
        for name in schedule:
            if name != "P":
                await actors[name].step()
                continue
            for owed in tasks.purges:
                await tasks.caches[0].purge(*owed)
        await actors[READER].end()
        assert len(tasks.purges) == ("before" in fail) + ("after" in fail)
        assert await world.cached(part) in {None, 2}, schedule


@pytest.mark.parametrize("part", ["image", "page"])
async def test_a_writer_cut_off_that_dies_has_left_a_note(tasks: Tasks, part: str) -> None:
    """The note is there before the commit, so that nothing hangs on what comes after it."""
    world = World(tasks)
    await world.warm()
    tasks.purges.clear()
    writer = world.writer(1, fail="before")
    await writer.step()
    assert tasks.purges == [(world.user, world.stored.id)]
    await writer.step()
    tasks.links[1].down = True
    await writer.die()
    tasks.links[1].down = False
    await tasks.caches[0].purge(*tasks.purges[0])
    assert await world.cached(part) is None


async def test_a_task_makes_up_for_what_it_lost_before_it_reads_again(tasks: Tasks) -> None:
    world = World(tasks)
    await world.warm()
    writer = world.writer(1, fail="before, after")
    for _ in range(3):
        await writer.step()
    await writer.end()
    assert await tasks.raw.exists(f"image:{world.stored.id}")
    assert (await world.get(tasks.caches[1], _at_once)).version == 2
    # And with that the other task has it, too.
    assert (await world.get(tasks.caches[0], _at_once)).version == 2
