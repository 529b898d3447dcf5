"""The connection to Redis: every call bounded in time, and none while it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, ResponseError

from image_service.adapters.redis.batches import Argument, ScriptBatches
from image_service.adapters.redis.breaker import CircuitBreaker
from image_service.adapters.redis.scripts import NAMES
from image_service.domain.errors import DependencyUnavailable
from image_service.telemetry.observers import CallObserver, CallOutcome, Nobody

TIMEOUT: Final = 0.1  # seconds for a call, waiting for a connection included
_MAX_CONNECTIONS: Final = 50


class RedisLink:
    """Runs Lua scripts, each in one round trip, which others may share.

    Raises DependencyUnavailable where Redis fails, takes longer than `timeout` seconds, or
    is being left alone. A call that timed out may still be carried out. Where a round trip
    breaks off, each call it carried is a failure: five of them, and Redis is left alone.
    """

    def __init__(
        self,
        client: Redis,
        breaker: CircuitBreaker,
        *,
        timeout: float,
        observer: CallObserver | None = None,
    ) -> None:
        self._client = client
        self._batches = ScriptBatches(client, timeout)
        self._breaker = breaker
        self._timeout = timeout
        self._observer = observer or Nobody()

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        if not self._breaker.admits():
            raise DependencyUnavailable
        started = perf_counter()
        outcome: CallOutcome = "cancelled"
        try:
            answer = await self._batches.run(script, keys, arguments)
            outcome = "ok"
        except Exception as error:  # whatever the client makes of a broken server
            outcome = "failed" if isinstance(error, ResponseError) else "unanswered"
            self._breaker.failed(error)
            if isinstance(error, ReadOnlyError):
                await self._reconnect()
            raise DependencyUnavailable from error
        finally:
            self._observer("redis", NAMES[script], outcome, perf_counter() - started)
        self._breaker.succeeded()
        return answer

    async def ping(self) -> None:
        """Past the breaker: to find out is what it is for."""
        async with asyncio.timeout(self._timeout):
            await self._client.ping()

    async def aclose(self) -> None:
        """Wait for what is on its way; the client is the caller's to close."""
        await self._batches.aclose()

    async def _reconnect(self) -> None:
        """After a failover the name leads to the new primary, the open connections do not."""
        await self._client.connection_pool.disconnect(inuse_connections=False)


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    within: float = TIMEOUT,
    breaker: CircuitBreaker | None = None,
    observer: CallObserver | None = None,
) -> AsyncIterator[RedisLink]:
    """A link to `url` (redis://, rediss://) whose calls take at most `within` seconds.

    Connects when first used, or never.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=within,
        socket_timeout=within,
        socket_connect_timeout=within,
        retry=Retry(NoBackoff(), 0),  # a second try would double the time a request waits
        driver_info=None,  # it is looked up on disk for each connection, and costs two round trips
        protocol=2,  # no greeting, no push messages: nothing here needs the third
    )
    client = Redis.from_pool(pool)
    link = RedisLink(client, breaker or CircuitBreaker("redis"), timeout=within, observer=observer)
    try:
        yield link
    finally:
        await link.aclose()
        await client.aclose()


class RedisHealth:
    """A `HealthProbe`."""

    name = "redis"

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def ping(self) -> None:
        await self._link.ping()
