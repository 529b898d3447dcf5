"""Ports for servers that can't be told to take a free one and say which."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below those that systems hand out by themselves. A port of theirs, found free, is soon given
# to another server or connection, and some of the engines take seconds until they bind it.
_FIRST = 20_000
_OF_A_WORKER = 1_000
_WORKERS = 12

# Processes that test side by side keep to shares of their own; pytest-xdist numbers them.
_share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_offsets = itertools.count(random.randrange(_OF_A_WORKER))


def free_port() -> int:
    """One of loopback that nobody listens on, and that this process has not named lately."""
    for offset in itertools.islice(_offsets, _OF_A_WORKER):
        port = _FIRST + _share * _OF_A_WORKER + offset % _OF_A_WORKER
        with socket.socket() as probe:
            # As servers do: what is left of closed connections is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
