from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import virtual_time

from image_service.domain.errors import Overloaded
from image_service.services.admission import Admission, AdmissionLimits


def admission(**limits: float) -> Admission:
    return Admission(AdmissionLimits(**limits))


# Before the body -------------------------------------------------------------------------


def test_uploads_are_bounded_in_number():
    gate = admission(uploads=2, user_share=1)
    with ExitStack() as inside:
        inside.enter_context(gate.receiving("alice", 1))
        inside.enter_context(gate.receiving("bob", 1))
        with pytest.raises(Overloaded), gate.receiving("carol", 1):
            pass
    with gate.receiving("carol", 1):
        pass


def test_uploads_are_bounded_in_bytes():
    gate = admission(upload_bytes=100, user_share=1)
    with gate.receiving("alice", 60):
        with pytest.raises(Overloaded), gate.receiving("bob", 41):
            pass
        with gate.receiving("bob", 40):
            pass


@pytest.mark.parametrize(
    ("limits", "body_bytes"), [({"uploads": 4}, 1), ({"upload_bytes": 100}, 25)]
)
def test_one_user_gets_no_more_than_a_share(limits: dict[str, float], body_bytes: int):
    gate = admission(**limits, user_share=0.5)
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(gate.receiving("alice", body_bytes))
        with pytest.raises(Overloaded), gate.receiving("alice", body_bytes):
            pass
        with gate.receiving("bob", body_bytes):
            pass


def test_a_user_may_always_send_one_even_if_it_is_more_than_the_share():
    gate = admission(upload_bytes=100, user_share=0.5)
    with gate.receiving("alice", 90):
        pass


def test_what_fails_gives_its_place_back():
    gate = admission(uploads=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), gate.receiving("alice", 1):
            raise ValueError("broken")


# Before the pixels -----------------------------------------------------------------------


class Pictures:
    """Pictures that are processed until they are told to end."""

    def __init__(self, gate: Admission) -> None:
        self._gate = gate
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.started: list[str] = []

    async def come(self, name: str, user: str, cost: int = 1) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._process(name, user, cost))
        await self.settle()

    async def _process(self, name: str, user: str, cost: int) -> None:
        async with self._gate.processing(user, cost):
            self.started.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await self.settle()

    async def outcome(self, name: str) -> None:
        await self._tasks[name]

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@asynccontextmanager
async def pictures(**limits: float) -> AsyncIterator[Pictures]:
    made = Pictures(admission(**limits))
    yield made
    await made.close()


async def test_no_more_are_processed_than_there_are_workers():
    async with pictures(workers=1) as room:
        await room.come("a1", "alice")
        await room.come("b1", "bob")
        assert room.started == ["a1"]
        await room.end("a1")
        assert room.started == ["a1", "b1"]


async def test_no_more_are_processed_than_there_is_memory_for():
    async with pictures(workers=5, decode_bytes=100) as room:
        await room.come("a1", "alice", 60)
        await room.come("a2", "alice", 50)
        assert room.started == ["a1"]
        await room.end("a1")
        assert room.started == ["a1", "a2"]


async def test_users_take_turns():
    async with pictures(workers=1) as room:
        for name in ("a1", "a2", "a3", "a4"):
            await room.come(name, "alice")
        await room.come("b1", "bob")
        await room.come("c1", "carol")
        for _ in range(6):
            await room.end(room.started[-1])
        assert room.started == ["a1", "a2", "b1", "c1", "a3", "a4"]


async def test_small_ones_do_not_keep_a_large_one_out():
    async with pictures(workers=5, decode_bytes=100) as room:
        await room.come("small 1", "alice", 40)
        await room.come("large", "bob", 100)
        await room.come("small 2", "alice", 40)
        assert room.started == ["small 1"]
        await room.end("small 1")
        assert room.started == ["small 1", "large"]


async def test_what_waits_is_bounded_and_refused_at_once():
    async with pictures(workers=1, waiting_bytes=10, user_share=1) as room:
        await room.come("a1", "alice", 8)
        await room.come("a2", "alice", 8)
        await room.come("b1", "bob", 3)
        with pytest.raises(Overloaded):
            await room.outcome("b1")
        await room.come("b2", "bob", 2)
        await room.end("a1")
        await room.end("a2")
        assert room.started == ["a1", "a2", "b2"]


async def test_one_user_may_not_fill_the_waiting_room():
    async with pictures(workers=1, waiting_bytes=10, user_share=0.5) as room:
        for name in ("a1", "a2", "a3"):
            await room.come(name, "alice", 4)
        with pytest.raises(Overloaded):
            await room.outcome("a3")
        await room.come("b1", "bob", 4)
        await room.end("a1")
        await room.end("a2")
        assert room.started == ["a1", "a2", "b1"]


async def test_waiting_ends_some_day():
    async with pictures(workers=1, max_wait=0.05) as room:
        await room.come("a1", "alice")
        await room.come("b1", "bob")
        with pytest.raises(Overloaded):
            await room.outcome("b1")
        await room.come("c1", "carol")
        await room.end("a1")
        assert room.started == ["a1", "c1"]


async def test_who_goes_away_while_waiting_leaves_no_gap():
    async with pictures(workers=2, decode_bytes=100) as room:
        await room.come("a1", "alice", 50)
        await room.come("b1", "bob", 60)
        await room.come("c1", "carol", 50)
        assert room.started == ["a1"]
        await room.cancel("b1")
        assert room.started == ["a1", "c1"]


async def test_who_is_called_while_going_away_passes_the_place_on():
    async with pictures(workers=1) as room:
        for name, user in (("a1", "alice"), ("b1", "bob"), ("c1", "carol")):
            await room.come(name, user)
        # Called and cancelled in the same turn of the loop, in each order there is.
        room._ends["a1"].set()
        await asyncio.sleep(0)
        room._tasks["b1"].cancel()
        await room.settle()
        assert room.started[-1] == "c1"
        await room.come("d1", "dora")
        room._tasks["d1"].cancel()
        room._ends["c1"].set()
        await room.settle()
        await room.come("e1", "eve")
        await room.come("f1", "frank")
        await room.come("g1", "grace")
        assert room.started[-1] == "e1"
        room._ends["e1"].set()
        room._tasks["f1"].cancel()
        await room.settle()
        assert room.started[-1] == "g1"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "end", "cancel", "fail"]),
        st.integers(0, 30),
        st.sampled_from("abc"),
        st.integers(1, 50),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(STEPS)
@settings(deadline=None)
def test_whatever_happens_the_bounds_hold_and_all_is_given_back(steps):
    asyncio.run(_walk(steps))


class Job:
    """An upload through both gates, which counts what is inside at the same time."""

    LIMITS = AdmissionLimits(
        workers=3, decode_bytes=100, waiting_bytes=150, user_share=0.5, uploads=10
    )

    def __init__(self, gate: Admission, inside: list[int], user: str, cost: int) -> None:
        self.ended = asyncio.Event()
        self.failing = False
        self._inside = inside
        self._cost = cost
        self.task = asyncio.create_task(self._run(gate, user))

    async def _run(self, gate: Admission, user: str) -> None:
        with gate.receiving(user, self._cost):
            async with gate.processing(user, self._cost):
                self._inside.append(self._cost)
                assert len(self._inside) <= self.LIMITS.workers
                assert sum(self._inside) <= self.LIMITS.decode_bytes
                try:
                    await self.ended.wait()
                finally:
                    self._inside.remove(self._cost)
                if self.failing:
                    raise ValueError

    def do(self, action: str) -> None:
        if action == "cancel":
            self.task.cancel()
        else:
            self.failing = action == "fail"
            self.ended.set()


async def _walk(steps) -> None:
    gate = Admission(Job.LIMITS)
    inside: list[int] = []
    jobs: list[Job] = []
    for action, which, user, cost, turns in steps:
        if action == "come":
            jobs.append(Job(gate, inside, user, cost))
        elif jobs:
            jobs[which % len(jobs)].do(action)
        for _ in range(turns):
            await asyncio.sleep(0)
    for job in jobs:
        job.ended.set()
        with suppress(Overloaded, ValueError, asyncio.CancelledError):
            await asyncio.wait_for(job.task, 60)
    assert not inside
    # All is free again: as many as ever get in at once.
    with ExitStack() as bodies:
        for user in "pq":
            for _ in range(5):
                bodies.enter_context(gate.receiving(user, 1))
    async with gate.processing("p", 50), gate.processing("q", 25), gate.processing("r", 25):
        pass


@virtual_time.MARK
async def test_the_lists_of_one_user_wait_for_each_other_and_nobody_else_does():
    admission = Admission(AdmissionLimits())
    running: list[str] = []
    done = asyncio.Event()

    async def listing(user: str) -> None:
        async with admission.listing(user):
            running.append(user)
            await done.wait()

    async with asyncio.TaskGroup() as lists:
        for user in ["alice"] * 10 + ["bob"]:
            lists.create_task(listing(user))
        await asyncio.sleep(0.01)
        assert running == ["alice"] * 2 + ["bob"]
        done.set()
    assert running.count("alice") == 10
