"""Memory that the allocator keeps after a picture, given back to the system.

glibc keeps what lies beneath anything that is still in use: 150 MB and more after the largest
pictures, for as long as the child lives. jemalloc gives back by itself; this does nothing to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

# Pictures of up to 12 megapixels leave less, and the next one takes what is there.
KEPT: Final = 128 * 2**20
_STATM: Final = Path("/proc/self/statm")


def give_back() -> None:
    """Have glibc return what is free, where the process has more than `KEPT`. Linux only."""
    with contextlib.suppress(OSError, AttributeError):  # no /proc; another C library
        pages = int(_STATM.read_text().split()[1])
        if pages * os.sysconf("SC_PAGESIZE") > KEPT:
            ctypes.CDLL(None).malloc_trim(0)
