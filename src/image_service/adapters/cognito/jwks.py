"""The pool's signing keys (JWKS): fetched when needed, kept, and looked up by `kid`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import httpx
import structlog
from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError

from image_service.domain.errors import AuthUnavailable, TooManyUnknownKeys
from image_service.domain.time_limits import KEY_FETCH, UNKNOWN_KEY_WAIT
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger(__name__)

ALGORITHM: Final = "RS256"

_MAX_JWKS_BYTES: Final = 64 * 1024
_FETCH_TIMEOUT: Final = httpx.Timeout(2.0)
_RETRY_SECONDS: Final = 1.0  # with no set at all
_UNKNOWN_KID_SECONDS: Final = 5.0
_MAX_WAITING: Final = 100
_REFRESH_SECONDS: Final = 3600.0
_REFRESH_RETRY_SECONDS: Final = 60.0


class KeySet:
    """The pool's signing keys by `kid`, fetched when needed, by one fetch at a time.

    A set once fetched is kept until a newer one arrives. Garbage from the endpoint
    replaces nothing. An unknown `kid` is a new key or an invented one: only a set that was
    asked for later shows which, and the request waits for it. Such a fetch begins every 5 s at
    most, however many invented ones come, and at most 100 requests wait, for the first set too.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        within: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        telemetry: Telemetry,
    ) -> None:
        self._http = http
        self._telemetry = telemetry
        self._url = url
        self._within = within
        self._monotonic = monotonic
        self._sleep = sleep
        self._keys: Mapping[str, Key] = {}
        self._retry_at = self._unknown_kid_at = self._refresh_at = monotonic()
        # Fetches are numbered, so that a request knows those that began after it came.
        self._begun = self._ended = self._succeeded = 0
        self._fetching: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None  # waits to begin one
        self._waiting = 0
        self._closed = False

    def prefetch(self) -> None:
        """Begin the first fetch, without waiting for it, so that the first requests find keys."""
        self._begin_fetch()

    async def find(self, key_id: str) -> Key | None:
        """The key; None where the pool doesn't have it.

        Raises AuthUnavailable where that can't be known: the endpoint is down.
        """
        now, since = self._monotonic(), self._begun
        if not self._keys:
            if now >= self._retry_at and not self._is_fetching:
                self._begin_fetch()
            if self._is_fetching:
                with self._place():
                    await self._end_of_fetch()
            if not self._keys:
                raise AuthUnavailable
        elif key_id in self._keys and now >= self._refresh_at and not self._is_fetching:
            self._begin_fetch()  # without waiting for it: the old set still serves
        if key_id not in self._keys and self._succeeded <= since:
            await self._newer_set(key_id, since)
        return self._keys.get(key_id)

    async def aclose(self) -> None:
        self._closed = True
        for task in self._running():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of those who may wait for a set, the first one or a newer one."""
        if self._waiting >= _MAX_WAITING:
            raise TooManyUnknownKeys
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _newer_set(self, key_id: str, since: int) -> None:
        """Wait for a set that has the key, or that was asked for later than `since`."""
        with self._place(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNKNOWN_KEY_WAIT):
                await self._end_of_fetch()
                while key_id not in self._keys and self._ended <= since and not self._closed:
                    if self._next is None and not self._is_fetching:
                        self._next = asyncio.create_task(self._fetch_when_due())
                    await asyncio.wait(self._running(), return_when=asyncio.FIRST_COMPLETED)
        if key_id not in self._keys and self._succeeded <= since:
            raise AuthUnavailable

    async def _fetch_when_due(self) -> None:
        await self._sleep(max(0.0, self._unknown_kid_at - self._monotonic()))
        await self._end_of_fetch()
        self._unknown_kid_at = self._monotonic() + _UNKNOWN_KID_SECONDS
        self._next = None
        self._begin_fetch()

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    def _running(self) -> list[asyncio.Task[None]]:
        return [task for task in (self._next, self._fetching) if task and not task.done()]

    async def _end_of_fetch(self) -> None:
        if self._fetching is not None:
            # Unlike awaiting it, this neither cancels the task with the request nor fails.
            await asyncio.wait({self._fetching})

    def _begin_fetch(self) -> None:
        now = self._monotonic()
        self._retry_at = now + _RETRY_SECONDS
        self._refresh_at = now + _REFRESH_RETRY_SECONDS
        self._begun += 1
        self._fetching = asyncio.create_task(self._fetch(self._begun))

    async def _fetch(self, number: int) -> None:
        try:
            body = await download_keys(
                self._http, self._url, within=self._within, telemetry=self._telemetry
            )
            keys = usable_keys(json.loads(body))
        except Exception as error:  # noqa: BLE001  # whatever it was, the old set serves on
            log.warning("jwks_fetch_failed", cause=error, keys_kept=len(self._keys))
        else:
            self._keys = keys
            self._succeeded = number
            self._refresh_at = self._monotonic() + _REFRESH_SECONDS
        finally:
            self._ended = number


async def download_keys(
    http: httpx.AsyncClient,
    url: str,
    *,
    within: float = KEY_FETCH,
    telemetry: Telemetry | None = None,
) -> bytes:
    """Returns what lies at `url`, had in `within` seconds.

    Raises httpx.HTTPError or TimeoutError; ValueError, in words of our own, where the response
    can be no JWKS.
    """
    body = bytearray()
    # Uncompressed: the limit then holds for what is kept in memory, too.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    request = http.build_request("GET", url, headers=headers, timeout=_FETCH_TIMEOUT)
    async with asyncio.timeout(within):
        with (telemetry or Telemetry()).call("jwks", "GET") as call:  # up to the headers
            response = await http.send(request, stream=True, follow_redirects=False)
            if not response.is_success:
                call.outcome = "failed"
        async with aclosing(response):
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_JWKS_BYTES:
                    raise ValueError(f"more than {_MAX_JWKS_BYTES} bytes")
    return bytes(body)


def usable_keys(document: Any) -> Mapping[str, Key]:
    """The RS256 signing keys of a JWKS (RFC 7517). Raises ValueError if there are none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = {}
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and _signs_rs256(entry):
            # One broken key says nothing against the others.
            with contextlib.suppress(JOSEError, ValueError):
                keys[entry["kid"]] = _rsa_key(entry)
    if not keys:
        raise ValueError("no usable key")
    return keys


def _signs_rs256(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("kty") == "RSA"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and all(isinstance(entry.get(name), str) for name in ("kid", "n", "e"))
    )


def _rsa_key(entry: Mapping[str, Any]) -> Key:
    # Only the public members: whatever else stands in the entry is not let in.
    return jwk.construct({"kty": "RSA", "n": entry["n"], "e": entry["e"]}, ALGORITHM)
