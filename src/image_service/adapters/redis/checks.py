"""Whether Redis is there, and as it is needed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)

from image_service.domain.diagnosis import Diagnosis, failed, warning, well

_TIMEOUT: Final = 5.0  # seconds; to tell a slow Redis from a dead one


class RedisCheck:
    """A `SystemCheck`; without a URL, of nothing.

    `within` is how many seconds the service gives it for a call.
    """

    name = "redis"

    def __init__(self, url: str | None, *, within: float) -> None:
        self._url = url
        self._within = within

    async def examine(self) -> Sequence[Diagnosis]:
        if self._url is None:
            return [well(self.name, "disabled: no cache, and rate limits a task")]
        parts = urlsplit(self._url)
        place = f"{parts.hostname}:{parts.port or 6379}"
        client = Redis.from_url(
            self._url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
        )
        try:
            return [await self._look_at(client, place)]
        except (AuthenticationError, AuthorizationError, NoPermissionError):
            remedy = "check user and password in IMAGE_SERVICE_REDIS_URL"
            return [failed(self.name, f"{place} refuses the password", remedy)]
        except (RedisError, OSError) as error:
            remedy = "check IMAGE_SERVICE_REDIS_URL (rediss:// for TLS) and security groups"
            detail = f"{place} does not answer ({type(error).__name__}); the service runs without"
            return [failed(self.name, detail, remedy)]
        finally:
            await client.aclose()

    async def _look_at(self, client: Redis, place: str) -> Diagnosis:
        await client.ping()  # connects
        started = time.perf_counter()
        await client.ping()
        seconds = time.perf_counter() - started
        about = await _info(client)
        version = about.get("redis_version", "of unknown version")
        detail = f"{place} is {version}, a ping takes {seconds * 1000:.1f} ms"
        if about.get("role") == "slave":
            remedy = "name the primary endpoint in IMAGE_SERVICE_REDIS_URL"
            return failed(self.name, f"{place} is a replica, which takes no writes", remedy)
        if about.get("redis_mode") == "cluster":
            remedy = "use one node with replicas, cluster mode off"
            return failed(self.name, f"{place} runs in cluster mode", remedy)
        if seconds > self._within:
            remedy = "bring it nearer, or raise IMAGE_SERVICE_REDIS_TIMEOUT"
            return warning(self.name, f"{detail}; calls end after {self._within:g} s", remedy)
        return well(self.name, detail)


async def _info(client: Redis) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = await client.info()
    except RedisError:  # may be forbidden to this user; all else can work
        return {}
    return found
