"""A proxy that gives an engine on loopback the latency of AWS.

    python -m benchmarks.latency.delays PORT UPSTREAM_PORT MEDIAN_MS SEED

A response leaves once the engine has given it, and not before a time has passed since the last
of its request came in: log-normal, by the median and a sigma of 0.5, in a seeded order. What the
engine itself takes is within that time, as it is on AWS. Connections are kept, and one request is
on each at a time.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from math import log

_SIGMA = 0.5
_CHUNK = 256 * 1024
_INTERIM = b"HTTP/1.1 100"


class Delays:
    def __init__(self, upstream: int, median_ms: float, seed: int) -> None:
        self._upstream = upstream
        self._mean = log(median_ms / 1000)
        self._dice = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sender = await asyncio.open_connection("127.0.0.1", self._upstream)
        due: list[float] = []  # when the response to the request on its way may leave
        passing = [
            asyncio.create_task(self._requests(reader, sender, due)),
            asyncio.create_task(self._responses(upstream, writer, due)),
        ]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        writer.close()
        sender.close()

    async def _requests(
        self, reader: asyncio.StreamReader, sender: asyncio.StreamWriter, due: list[float]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                took = self._dice.lognormvariate(self._mean, _SIGMA) if not due else due[1]
                due[:] = [asyncio.get_running_loop().time() + took, took]
                sender.write(data)
                await sender.drain()

    async def _responses(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, due: list[float]
    ) -> None:
        with suppress(OSError):
            while data := await upstream.read(_CHUNK):
                if due and not data.startswith(_INTERIM):
                    await asyncio.sleep(due[0] - asyncio.get_running_loop().time())
                    due.clear()
                writer.write(data)
                await writer.drain()


async def main() -> None:
    port, upstream, median_ms, seed = sys.argv[1:]
    delays = Delays(int(upstream), float(median_ms), int(seed))
    server = await asyncio.start_server(delays.serve, "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
