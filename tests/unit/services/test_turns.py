from __future__ import annotations

import asyncio

from tests import virtual_time

from image_service.services.admission import Turns


async def test_users_take_turns_and_one_at_a_time_is_served():
    turns, order, inside = Turns(), [], 0

    async def serve(user: str) -> None:
        nonlocal inside
        async with turns.turn(user):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(user)
            inside -= 1

    await asyncio.gather(*(serve("alice") for _ in range(4)), *(serve("bob") for _ in range(2)))
    assert order == ["alice", "alice", "bob", "alice", "bob", "alice"]


@virtual_time.MARK
async def test_whoever_goes_away_leaves_the_turn_to_the_next():
    turns, served = Turns(), []

    async def serve(user: str) -> None:
        async with turns.turn(user):
            served.append(user)

    async with turns.turn("alice"):
        waiting = [asyncio.create_task(serve(user)) for user in ("bob", "carol", "dave")]
        await asyncio.sleep(0)
        waiting[0].cancel()  # while it waits
    waiting[1].cancel()  # called, but it has not heard yet
    await asyncio.gather(*waiting, return_exceptions=True)
    assert served == ["dave"]
    async with asyncio.timeout(1), turns.turn("alice"):
        pass
