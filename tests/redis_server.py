"""A Redis for the tests, and the ways it can fail.

The real server where `redis-server` is on PATH, or where REDIS_URL names one that may be
emptied; else fakeredis over TCP, which does for all that `make test` asks of it. With
IMAGE_SERVICE_TEST_ENGINES=real only a real one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import fakeredis
import pytest
import redis
from tests.ports import free_port

from image_service.adapters.redis import scripts

_START_SECONDS = 60
_REMEDY = "this needs redis-server: install it (Debian: redis-server)"


def described() -> str:
    """One line for the header of the run."""
    if (path := shutil.which("redis-server")) is not None:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
        return f"redis: {path}, {' '.join(version.stdout.split()[1:3])}"
    if "REDIS_URL" in os.environ:
        return "redis: the server REDIS_URL names"
    return f"redis: fakeredis {fakeredis.__version__} over TCP"


@contextmanager
def running_redis() -> Iterator[str]:
    """The URL of a Redis, empty at the start."""
    if shutil.which("redis-server") is not None:
        with own_redis() as server:
            yield server.url
    elif url := os.environ.get("REDIS_URL"):
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        yield url
    elif os.environ.get("IMAGE_SERVICE_TEST_ENGINES") == "real":
        pytest.fail(_REMEDY, pytrace=False)
    else:
        server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_version=(7,))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"redis://127.0.0.1:{server.server_address[1]}"
        with redis.Redis.from_url(url) as client:
            # It hangs up after every error, "no such script" included, where a real one waits
            # for the script.
            for script in (scripts.READ, scripts.FILL, scripts.INVALIDATE, scripts.COUNT):
                client.script_load(script)
        yield url
        server.shutdown()
        server.server_close()


@dataclass
class OwnRedis:
    """A redis-server without persistence: killed, it forgets everything.

    It can be killed and configured at will.
    """

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        if shutil.which("redis-server") is None:
            pytest.fail(_REMEDY, pytrace=False)
        options = f"--port {self.port} --bind 127.0.0.1 --save  --appendonly no --loglevel warning"
        self.process = subprocess.Popen(
            ["redis-server", *options.split(" ")], stdout=subprocess.DEVNULL
        )
        give_up = time.monotonic() + _START_SECONDS
        while not _listens(self.port):
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    server = OwnRedis(free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class RedisProxy:
    """Stands before a Redis. `silent`: accepts and never answers; `refusing`: hangs up.

    `deaf`: hands everything on, but no answer back. `delay`: seconds an answer is held up.
    `requests` counts what a client has sent and waits on.
    """

    url: str
    silent: bool = False
    refusing: bool = False
    deaf: bool = False
    delay: float = 0
    connections: int = 0
    requests: int = 0
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def own_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def heal(self) -> None:
        self.silent = self.refusing = self.deaf = False
        self.delay = 0

    def cut(self) -> None:
        """Reset every connection there is."""
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        target = urlsplit(self.url)
        try:
            if self.refusing:
                return
            upstream, downstream = await asyncio.open_connection(target.hostname, target.port)
            self._open.add(downstream)
            try:
                await asyncio.gather(
                    self._requests(reader, downstream), self._answers(upstream, writer)
                )
            finally:
                self._open.discard(downstream)
                downstream.close()
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                self.requests += 1
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                await asyncio.sleep(self.delay)
                if not (self.silent or self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()


@asynccontextmanager
async def redis_proxy(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RedisProxy]:
    proxy = RedisProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.sleep(0)
