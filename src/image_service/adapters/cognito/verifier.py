"""Tokens of a Cognito user pool, checked against the pool's JWKS.

python-jose checks the signature and nothing more. Its own claim checks read the system
clock, take a missing `aud` or `iss` for a match, and let odd values (`"exp": 1e999`)
escape as errors of other kinds, so the claims are checked here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import structlog
from cachetools import TLRUCache
from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

from image_service.domain.errors import AuthUnavailable, TokenExpired, TokenInvalid
from image_service.domain.images import is_user_id
from image_service.ports import Principal

log = structlog.stdlib.get_logger(__name__)

_ALGORITHM: Final = "RS256"
_MAX_TOKEN_CHARS: Final = 8 * 1024
_MAX_CACHED_TOKENS: Final = 10_000
_MAX_CACHED_SECONDS: Final = 300

_MAX_JWKS_BYTES: Final = 64 * 1024
_FETCH_TIMEOUT: Final = httpx.Timeout(2.0)
_FETCH_DEADLINE: Final = 5.0  # httpx's own is per read: a slow drip would never meet it
_RETRY_SECONDS: Final = 1.0  # with no set at all
_UNKNOWN_KID_SECONDS: Final = 30.0
_REFRESH_SECONDS: Final = 3600.0
_REFRESH_RETRY_SECONDS: Final = 60.0

# The one spelling of a compact JWS (RFC 7515, section 7.1). Python's base64 decoder skips
# foreign characters, so without this one token would have endless spellings.
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LATEST_MOMENT: Final = 253_402_300_800  # the year 10000, in seconds since 1970


class CognitoVerifier:
    """A `TokenVerifier` for one user pool.

    `issuer` is the pool's, compared exactly; `clock` gives seconds since 1970 and judges
    tokens, `monotonic` any seconds that never jump and times the fetching of keys.
    """

    def __init__(  # noqa: PLR0913  # two of them only tests pass
        self,
        http: httpx.AsyncClient,
        *,
        issuer: str,
        jwks_url: str,
        client_ids: frozenset[str],
        leeway_seconds: int = 10,
        fetch_within: float = _FETCH_DEADLINE,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = _KeySet(http, jwks_url, fetch_within, monotonic)
        self._issuer = issuer
        self._client_ids = client_ids
        self._leeway = leeway_seconds
        self._clock = clock
        # Keyed by hash, so that no token lies in memory for longer than its request. An
        # entry outlives its key: where the pool drops a key, what was verified with it
        # passes for up to 5 minutes more. That adds little to the hour a set is used for,
        # and Cognito's own access tokens can't be revoked at all.
        self._verified: TLRUCache[bytes, Principal, float] = TLRUCache(
            _MAX_CACHED_TOKENS,
            ttu=lambda _, who, now: min(who.expires_at, now + _MAX_CACHED_SECONDS),
            timer=clock,
        )

    async def verify(self, token: str) -> Principal:
        if len(token) > _MAX_TOKEN_CHARS or not _COMPACT_JWS.fullmatch(token):
            raise TokenInvalid
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            return known
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise TokenInvalid
        principal = self._principal(_signed_claims(token, key))
        self._verified[digest] = principal
        return principal

    async def aclose(self) -> None:
        """Cancel a fetch that is under way."""
        await self._keys.aclose()

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject, expires_at = claims.get("sub"), _moment(claims, "exp")
        if (
            expires_at is None
            or claims.get("iss") != self._issuer
            or not self._is_for_us(claims)
            or not isinstance(subject, str)
            or not is_user_id(subject)
        ):
            raise TokenInvalid
        now = self._clock()
        for name in ("nbf", "iat"):
            moment = _moment(claims, name)
            if moment is not None and moment > now + self._leeway:
                raise TokenInvalid
        # Last, because "expired" tells the caller that a newer one of the kind will do.
        if expires_at <= now - self._leeway:
            raise TokenExpired
        return Principal(user_id=subject, expires_at=int(expires_at))

    def _is_for_us(self, claims: Mapping[str, Any]) -> bool:
        """Whether it was issued to an allowed client.

        As in the Amazon Cognito developer guide, "Verifying JSON web tokens": an ID token
        names its client in `aud`, an access token in `client_id`.
        """
        match claims.get("token_use"):
            case "id":
                client = claims.get("aud")
            case "access":
                client = claims.get("client_id")
            case _:
                return False
        return isinstance(client, str) and client in self._client_ids


def _key_id(token: str) -> str:
    """The `kid` of a header that asks for nothing but RS256. Raises TokenInvalid.

    The algorithm is pinned before anything else in the token is believed: "none", or HMAC
    with the public key for its secret, gets no further than this. `crit` names extensions
    that must be understood (RFC 7515, section 4.1.11); none are.
    """
    try:
        header = jws.get_unverified_header(token)
    except (JOSEError, ValueError, RecursionError):  # the last by deeply nested JSON
        raise TokenInvalid from None
    key_id = header.get("kid")
    if header.get("alg") != _ALGORITHM or "crit" in header or not isinstance(key_id, str):
        raise TokenInvalid
    return key_id


def _signed_claims(token: str, key: Key) -> Mapping[str, Any]:
    try:
        claims = json.loads(jws.verify(token, key, algorithms=[_ALGORITHM]))
    except (JOSEError, ValueError, RecursionError):
        raise TokenInvalid from None
    if not isinstance(claims, dict):
        raise TokenInvalid
    return claims


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Seconds since 1970; None where the claim is absent. Raises TokenInvalid."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid
    if not 0 <= value < _LATEST_MOMENT:  # infinity and NaN among them
        raise TokenInvalid
    return value


class _KeySet:
    """The pool's signing keys by `kid`, fetched when needed, by one fetch at a time.

    A set once fetched is kept until a newer one arrives. Garbage from the endpoint
    replaces nothing.
    """

    def __init__(
        self, http: httpx.AsyncClient, url: str, within: float, monotonic: Callable[[], float]
    ) -> None:
        self._http = http
        self._url = url
        self._within = within
        self._monotonic = monotonic
        self._keys: Mapping[str, Key] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._retry_at = self._unknown_kid_at = self._refresh_at = monotonic()

    async def find(self, key_id: str) -> Key | None:
        """The key, if the pool has it. Raises AuthUnavailable while there is no set at all."""
        now = self._monotonic()
        if not self._keys:
            await self._fetched(due=now >= self._retry_at)
            if not self._keys:
                raise AuthUnavailable
        elif key_id not in self._keys:
            # A new key, or an invented one: however many of those come, one fetch in 30 s.
            if now >= self._unknown_kid_at and not self._is_fetching:
                self._unknown_kid_at = now + _UNKNOWN_KID_SECONDS
                self._begin_fetch()
            await self._fetched(due=False)
        elif now >= self._refresh_at and not self._is_fetching:
            self._begin_fetch()  # nobody waits for it: the old set still serves
        return self._keys.get(key_id)

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _fetched(self, *, due: bool) -> None:
        """Wait for the fetch that is under way, or for a new one if it is due."""
        if due and not self._is_fetching:
            self._begin_fetch()
        if self._fetching is not None:
            # Unlike awaiting it, this neither cancels the task with the request nor fails.
            await asyncio.wait({self._fetching})

    def _begin_fetch(self) -> None:
        now = self._monotonic()
        self._retry_at = now + _RETRY_SECONDS
        self._refresh_at = now + _REFRESH_RETRY_SECONDS
        self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            body = await download_keys(self._http, self._url, within=self._within)
            keys = usable_keys(json.loads(body))
        except Exception as error:  # noqa: BLE001  # whatever it was, the old set serves on
            log.warning("jwks_fetch_failed", cause=error, keys_kept=len(self._keys))
            return
        self._keys = keys
        self._refresh_at = self._monotonic() + _REFRESH_SECONDS


async def download_keys(
    http: httpx.AsyncClient, url: str, *, within: float = _FETCH_DEADLINE
) -> bytes:
    """What lies at `url`, had in `within` seconds.

    Raises httpx.HTTPError or TimeoutError; ValueError, in words of our own, where the answer
    can be no JWKS.
    """
    body = bytearray()
    # Uncompressed: the limit then holds for what is kept in memory, too.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        asyncio.timeout(within),
        http.stream(
            "GET", url, headers=headers, timeout=_FETCH_TIMEOUT, follow_redirects=False
        ) as response,
    ):
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
        and entry.get("alg", _ALGORITHM) == _ALGORITHM
        and all(isinstance(entry.get(name), str) for name in ("kid", "n", "e"))
    )


def _rsa_key(entry: Mapping[str, Any]) -> Key:
    # Only the public members: whatever else stands in the entry is not let in.
    return jwk.construct({"kty": "RSA", "n": entry["n"], "e": entry["e"]}, _ALGORITHM)
