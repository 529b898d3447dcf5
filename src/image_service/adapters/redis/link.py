"""The connection to Redis: every call bounded in time, and none while it fails."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import RedisSSLContext
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, ResponseError

from image_service.adapters.redis.scripts import NAMES
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.time_limits import REDIS_COOLDOWN
from image_service.telemetry.telemetry import Telemetry

Argument = str | bytes | int

TIMEOUT: Final = 0.1  # seconds for a call, and as long at most for a free connection
# A key of another type, no number in a counter, or none where a script computes with it.
_OF_DATA: Final = re.compile(r"WRONGTYPE|not an integer|attempt to (compare|perform arithmetic)")
_AT_MOST: Final = 5.0  # seconds, however long the loop is held up
_TICKS: Final = 10
_MAX_CONNECTIONS: Final = 50
_THRESHOLD: Final = 5  # failures in a row

log = structlog.stdlib.get_logger(__name__)


class RedisLink:
    """Runs Lua scripts, each in one round trip.

    Raises DependencyUnavailable where Redis fails, takes longer than `timeout` seconds, or
    is being left alone, and where no connection was free for so long: that says nothing against
    Redis, and opens no breaker. A call that timed out may still be carried out.
    """

    def __init__(
        self,
        client: Redis,
        breaker: CircuitBreaker,
        *,
        timeout: float,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._client = client
        self._scripts = {script: client.register_script(script) for script in NAMES}
        self._breaker = breaker
        self._timeout = timeout
        self._connections = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._telemetry = telemetry or Telemetry()

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        if not self._breaker.admits():
            raise DependencyUnavailable
        if self._connections.locked():
            await self._wait_for_one()
        else:
            await self._connections.acquire()  # without waiting
        try:
            return await self._measured(script, keys, arguments)
        finally:
            self._connections.release()

    async def _wait_for_one(self) -> None:
        was_open = self._breaker.is_open
        try:
            async with responsive_timeout(self._timeout):
                await self._connections.acquire()
        except TimeoutError:
            raise DependencyUnavailable from None
        if self._breaker.is_open and not was_open:
            self._connections.release()
            raise DependencyUnavailable

    async def _measured(
        self, script: str, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> Any:
        with self._telemetry.call("redis", NAMES[script]) as call:
            try:
                result = await self._run(script, keys, arguments)
            except Exception as error:  # whatever the client makes of a broken server
                if isinstance(error, ResponseError):
                    call.outcome = "failed"
                if not _is_of_data(error):  # else Redis is well
                    self._breaker.failed(error)
                if isinstance(error, ReadOnlyError):
                    await self._reconnect()
                raise DependencyUnavailable from error
        self._breaker.succeeded()
        return result

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        try:
            return await self._call(script, keys, arguments)
        except ResponseError as error:
            if not _is_of_data(error):
                raise
            # Another program wrote to a key of ours. All values there can be made again.
            log.warning("redis_keys_unusable", operation=NAMES[script], keys=keys, cause=error)
        async with responsive_timeout(self._timeout):
            await self._client.delete(*keys)
        return await self._call(script, keys, arguments)

    async def _call(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        async with responsive_timeout(self._timeout):
            return await self._scripts[script](keys, arguments)

    async def ping(self) -> None:
        """Past the breaker: to find out is what it is for."""
        async with responsive_timeout(self._timeout):
            await self._client.ping()

    async def _reconnect(self) -> None:
        """After a failover the name leads to the new primary, the open connections do not."""
        await self._client.connection_pool.disconnect(inuse_connections=False)


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    within: float = TIMEOUT,
    breaker: CircuitBreaker | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[RedisLink]:
    """A link to `url` (redis://, rediss://) whose calls take at most `within` seconds.

    Connects when first used, or never.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        # No limits for the wait for a connection, a read and a write: `responsive_timeout` bounds
        # the whole call, and knows a slow Redis from a slow loop. `RedisLink` waits for a free one.
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=_AT_MOST,
        retry=Retry(NoBackoff(), 0),  # a second try would double the time a request waits
        driver_info=None,  # it is looked up on disk for each connection, and costs two round trips
        protocol=2,  # no greeting, no push messages: nothing here needs the third
    )
    if pool.connection_class is SSLConnection:
        pool.connection_class = _TlsConnection
        pool.connection_kwargs["context"] = SSLConnection(**pool.connection_kwargs).ssl_context
    async with Redis.from_pool(pool) as client:
        yield RedisLink(
            client, breaker or CircuitBreaker("redis"), timeout=within, telemetry=telemetry
        )


class _TlsConnection(SSLConnection):
    """One of a pool, all with the same `context`.

    redis-py has each load the system's certificates, which holds the event loop up for 50 ms.
    """

    def __init__(self, *, context: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = context


@asynccontextmanager
async def responsive_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so many seconds in which the event loop was responsive.

    While the loop is held up, responses lie unread: that is no failure of Redis, and an
    outage made of it would lift the rate limits of everybody. So time is counted in ticks.
    """
    loop = asyncio.get_running_loop()
    left = _TICKS
    clock: asyncio.TimerHandle

    def tick() -> None:
        nonlocal left, clock
        left -= 1
        if left:
            clock = loop.call_later(seconds / _TICKS, tick)
        else:
            deadline.reschedule(loop.time())

    async with asyncio.timeout(_AT_MOST) as deadline:
        clock = loop.call_later(seconds / _TICKS, tick)
        try:
            yield
        finally:
            clock.cancel()


class CircuitBreaker:
    """Opens after `threshold` failures in a row; then admits one call each `cooldown` seconds.

    The pattern is that of M. Nygard, "Release It!" (2007).
    The first success closes it. An outage is two lines in the log, not one a request.
    """

    def __init__(
        self,
        system: str,
        *,
        threshold: int = _THRESHOLD,
        cooldown: float = REDIS_COOLDOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._threshold = threshold
        self._cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._next_attempt = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._threshold

    def admits(self) -> bool:
        """Returns whether to call now. While it is open, asking takes the one call let in."""
        if not self.is_open:
            return True
        if self._clock() < self._next_attempt:
            return False
        # Moved on here, not when the call ends: one that is cancelled leaves nothing behind.
        self._next_attempt = self._clock() + self._cooldown
        return True

    def succeeded(self) -> None:
        if self.is_open:
            log.warning("system_answers_again", system=self._system)
        self._failures = 0

    def failed(self, cause: Exception) -> None:
        self._failures += 1
        if self._failures == self._threshold:
            self._next_attempt = self._clock() + self._cooldown
            reason = f"{type(cause).__name__}: {cause}"
            log.warning("system_left_alone", system=self._system, cause=reason)


class RedisHealth:
    """A `HealthProbe`."""

    name = "redis"

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def ping(self) -> None:
        await self._link.ping()


def _is_of_data(error: Exception) -> bool:
    """Returns whether it comes from the keys, and so concerns only them."""
    return isinstance(error, ResponseError) and bool(_OF_DATA.search(str(error)))
