"""Tests that are marked `alone` run while no other process runs one."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Only ever locked, so any two files will do that all processes of a run see.
_DOOR = Path(__file__).with_name("conftest.py")
_ROOM = Path(__file__)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Waits until nobody is alone; who is to be alone, until nobody else is there."""
    with _ROOM.open() as room:
        with _DOOR.open() as door:  # held while waiting, or those to come would go first for ever
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
