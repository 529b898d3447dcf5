"""Bounds of a task by its size: the table of docs/scaling.md, "Size a task"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

_MIB: Final = 2**20
# One CPU decodes about 200 MB per second: what waits is done in 20 s.
_WAITING_BYTES_A_CPU: Final = 4 * 2**30
_PROCESS_BYTES: Final = 140 * 10**6
_CHILD_BYTES: Final = 45 * 10**6  # idle
ALLOCATOR_SHARE: Final = 0.2
"""What the allocator holds beyond what it has handed out, of that."""
LEAST_MEMORY: Final = 256 * _MIB
"""Of a task; with less, the service refuses to start."""
SMALLEST_TASK: Final = 512 * _MIB
"""That the table has bounds for; with much less they don't fit."""
USUAL_MEMORY: Final = 2048 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBounds:
    """Bounds of one process, in bytes but for the first two.

    `uploads` and `upload_bytes` bound what is in it at once, `decode_bytes` and `workers` what
    is being processed, `waiting_bytes` (of decoding) what waits for that.
    """

    workers: int
    uploads: int
    upload_bytes: int
    decode_bytes: int
    waiting_bytes: int


class _Row(NamedTuple):
    memory: int
    uploads: int
    upload: int
    decode: int


# In MiB. Measured: with the process itself, its children, and what the allocator holds beyond what
# it has handed out, a task stays within its memory.
_ROWS: Final = (
    _Row(2048, uploads=128, upload=256, decode=768),  # takes every picture; more in proportion
    _Row(1024, uploads=64, upload=128, decode=512),
    _Row(0, uploads=32, upload=48, decode=144),  # of SMALLEST_TASK
)


def bounds_for(cpus: float, memory_bytes: int) -> TaskBounds:
    """Returns those of a task with so many CPUs, or parts of one, and so much memory.

    A container with little memory may see all CPUs of a large machine: no more of them count
    than its memory has room for children.
    """
    row = next(row for row in _ROWS if memory_bytes >= row.memory * _MIB)
    scale = max(1.0, memory_bytes / USUAL_MEMORY)
    upload_bytes, decode_bytes = (int(size * _MIB * scale) for size in (row.upload, row.decode))
    size = min(memory_bytes, int((row.memory * _MIB or SMALLEST_TASK) * scale))
    used = min(cpus, max(1, _room_for(size, upload_bytes + decode_bytes)))
    return TaskBounds(
        workers=max(1, math.ceil(used)),
        uploads=int(row.uploads * scale),
        upload_bytes=upload_bytes,
        decode_bytes=decode_bytes,
        waiting_bytes=int(_WAITING_BYTES_A_CPU * used),
    )


def fits(memory_bytes: int, workers: int, pictures: int) -> bool:
    """Returns whether a task of so much memory has room for all that at once."""
    return workers <= _room_for(memory_bytes, pictures)


def _room_for(memory_bytes: int, pictures: int) -> int:
    """Returns how many children find room beside the process and its pictures, to the nearest."""
    room = memory_bytes / (1 + ALLOCATOR_SHARE) - memory_in_use(0, pictures)
    return round(room / _CHILD_BYTES)


def memory_in_use(workers: int, pictures: int) -> int:
    """Returns the bytes of the process, its children and its pictures, but for the allocator's."""
    return _PROCESS_BYTES + workers * _CHILD_BYTES + pictures


USUAL: Final = bounds_for(1, USUAL_MEMORY)
"""Of a task of one CPU, and of memory that nothing limits."""
