"""Messages between a worker thread and its child process: a JSON head and raw bytes.

JSON and not pickle: a child that a picture has taken over may send anything, and reading it
must not run code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

_LENGTHS: Final = struct.Struct("!II")
_MAX_HEAD: Final = 2**20
_MAX_BODY: Final = 2**28


def send(pipe: BinaryIO, head: Mapping[str, Any], bodies: Sequence[bytes] = ()) -> None:
    """Write one message. Raises OSError where the other end is closed."""
    raw = json.dumps(head).encode()
    pipe.write(_LENGTHS.pack(len(raw), sum(map(len, bodies))) + raw)
    pipe.writelines(bodies)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read one message. Raises EOFError where it ends early, ValueError where it is none."""
    head_bytes, body_bytes = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    if head_bytes > _MAX_HEAD or body_bytes > _MAX_BODY:
        raise ValueError("the message is longer than any can be")
    head = json.loads(_exactly(pipe, head_bytes))
    if not isinstance(head, dict):
        raise ValueError("the head is no object")  # noqa: TRY004 - bad data, not bad use
    return head, _exactly(pipe, body_bytes)


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
