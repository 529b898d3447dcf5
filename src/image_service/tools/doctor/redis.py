"""Checks that Redis is reachable, set up as needed, and takes what the service writes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from image_service.adapters.redis.cache import image_key, page_key, page_set_key, state_key
from image_service.adapters.redis.rate_limit import counter_key
from image_service.adapters.redis.scripts import COUNT, FILL, INVALIDATE, READ
from image_service.tools.doctor.findings import Finding, failed, warning, well
from image_service.tools.doctor.runner import Systems

_TIMEOUT: Final = 5.0  # seconds; to distinguish a slow Redis from a dead one
_LIFE: Final = 5_000  # milliseconds; should the deletion fail

_URL: Final = "IMAGE_SERVICE_REDIS_URL"
_PRIMARY: Final = f"name the primary endpoint in {_URL}"
_NO_CLUSTER: Final = "use one node with replicas, cluster mode off"
_RIGHTS: Final = "+@scripting +@read +@write +time +ping +select +info, on user:* and image:*"
_REMEDIES: Final[Mapping[type[ResponseError], str]] = {
    ClusterCrossSlotError: _NO_CLUSTER,
    ClusterDownError: _NO_CLUSTER,
    MovedError: _NO_CLUSTER,
    NoPermissionError: f"allow its user what the service does: {_RIGHTS}",
    OutOfMemoryError: "give it more memory, or a maxmemory-policy that evicts",
    ReadOnlyError: _PRIMARY,
}


async def there(at: Systems) -> Finding:
    """Changes no key."""
    if at.settings.redis_url is None:
        return well("disabled: no cache, and rate limits a task")

    async def look(client: Redis, place: str) -> Finding:
        await client.ping()  # connects
        started = time.perf_counter()
        await client.ping()
        seconds = time.perf_counter() - started
        about = await _info(client)
        if about.get("role") == "slave":
            return failed(f"{place} is a replica, which takes no writes", _PRIMARY)
        await _run(client, FILL, _Names().of_page, "of nobody", "", _LIFE, "page", 1, _LIFE)
        detail = f"{place} responds, a ping takes {seconds * 1000:.1f} ms"
        if seconds > at.times.redis_timeout:
            remedy = "bring it nearer, or give it a larger node"
            return warning(f"{detail}; calls end after {at.times.redis_timeout:g} s", remedy)
        if not about:
            remedy = "allow its user +info, or try with --write"
            return warning(f"{detail}; it may be a replica, for all it says", remedy)
        return well(detail)

    return await _looked_at(at.settings.redis_url.get_secret_value(), look)


async def write(at: Systems) -> Sequence[Finding]:
    """Runs each of the service's scripts, on keys it then deletes."""
    url = at.settings.redis_url
    return [await _looked_at(url.get_secret_value(), _written)] if url else []


async def _written(client: Redis, place: str) -> Finding:
    """A page must come back, and be a miss once it is invalidated; a request must count."""
    names = _Names()
    read = (READ, [names.page, names.state], "first", "page", 0, _LIFE)
    _, token = await _run(client, *read)
    token = token or b""  # where none is given, the page isn't kept
    page = token + b"doctor"
    await _run(client, FILL, names.of_page, token, page, _LIFE, "page", 1, _LIFE)
    filled, _ = await _run(client, *read)
    await _run(client, INVALIDATE, names.of_image, "second", "doctor", 0, 0, _LIFE)
    dropped, _ = await _run(client, *read)
    [[count, _]] = await _run(client, COUNT, [names.counter], 1, _LIFE, 1)
    await client.delete(*names.all)
    if (filled, dropped, count) == (page, None, 1):
        return well("an entry was put, read, dropped; a request was counted")
    detail = f"{place} does not give back what was just put"
    return failed(detail, "this is no Redis to rely on: use another")


class _Names:
    """Keys nobody else has, of the kinds the service's user may use."""

    def __init__(self) -> None:
        unique = f"doctor-{uuid.uuid4()}"
        self.page = page_key(unique, "doctor")
        self.state = state_key(unique)
        self.counter = counter_key(unique, "doctor", 1)
        self.of_page = [self.page, self.state, page_set_key(unique)]
        self.of_image = [image_key(unique), self.state, page_set_key(unique)]
        self.all = {*self.of_page, *self.of_image, self.counter}


async def _run(
    client: Redis, script: str, names: Sequence[str], *arguments: str | bytes | int
) -> Any:
    return await client.register_script(script)(names, arguments)


async def _looked_at(url: str, look: Callable[[Redis, str], Awaitable[Finding]]) -> Finding:
    """Returns what `look` finds with a client and its place, or what an error of Redis means."""
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 6379}"
    client = Redis.from_url(
        url,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        protocol=2,
    )
    try:
        return await look(client, place)
    except AuthenticationError:
        return failed(f"{place} refuses the password", f"check user and password in {_URL}")
    except ResponseError as error:
        detail = f"{place} refuses what the service does ({type(error).__name__})"
        remedy = _REMEDIES.get(type(error), f"allow scripts, and its user {_RIGHTS}")
        return failed(f"{detail}; it runs without", remedy)
    except (RedisError, OSError) as error:
        remedy = f"check {_URL} (rediss:// for TLS) and security groups"
        detail = f"{place} does not respond ({type(error).__name__}); the service runs without"
        return failed(detail, remedy)
    finally:
        await client.aclose()


async def _info(client: Redis) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = await client.info()
    except ResponseError:  # may be forbidden to this user; all else can work
        return {}
    return found
