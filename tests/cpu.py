"""Bounds in CPU seconds, which a busy machine does not use up by making others wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """What this thread does meanwhile takes no more."""
    began = time.thread_time()
    yield
    used = time.thread_time() - began
    assert used < seconds, f"{used:.1f} s of CPU, more than {seconds:g}"
