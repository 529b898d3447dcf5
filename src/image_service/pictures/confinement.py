"""Limits on a child process, held by the kernel.

Nothing here trusts the child to behave later: the limits are set before it sees a picture.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_DESCRIPTORS: Final = 16  # three pipes and what the interpreter opens for a moment
_STATM: Final = Path("/proc/self/statm")


def confine(parent: int) -> None:
    """Give up what a child does not need, for good, and die with the process `parent`.

    SIGTERM and SIGINT are the parent's business: it lets the child finish while it drains.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_FSIZE, 0)
    _set(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _control(_PR_SET_NO_NEW_PRIVS, 1)
    _control(_PR_SET_DUMPABLE, 0)  # another child must not read a picture out of this one
    _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request to be notified
        raise SystemExit(1)


def limit_picture(*, cpu_seconds: int, memory_bytes: int) -> None:
    """Limit what the process takes from now on; replaces the limits of the picture before.

    The kernel ends a process that passes the first (SIGXCPU; it counts whole seconds, so up
    to one less), and gives no more than the second. macOS does not hold the second.
    """
    used = math.floor(time.process_time() + cpu_seconds)
    _set_soft(resource.RLIMIT_CPU, max(1, used))
    taken = _address_space()
    if taken is not None:
        _set_soft(resource.RLIMIT_AS, taken + memory_bytes)


def lift_limits() -> None:
    """Undo `limit_picture`, for what is done between two pictures."""
    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS):
        soft, hard = resource.getrlimit(limit)
        if soft != hard:
            resource.setrlimit(limit, (hard, hard))


def hide_from_children() -> None:
    """Keep the memory, environment and descriptors of this process from others of its user.

    Else a child could read its parent's credentials from /proc. Linux only.
    """
    _control(_PR_SET_DUMPABLE, 0)


def _address_space() -> int | None:
    try:
        return int(_STATM.read_text().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux
        return None


def _set(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _set_soft(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, hard))


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
