"""Tokens of a Cognito user pool, checked against the pool's JWKS.

python-jose checks the signature and nothing more. Its own claim checks read the system
clock, take a missing `aud` or `iss` for a match, and let odd values (`"exp": 1e999`)
escape as errors of other kinds, so the claims are checked here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx
from cachetools import TLRUCache
from jose import jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

from image_service.adapters.cognito.jwks import ALGORITHM, KeySet
from image_service.domain.access import Caller, Kind
from image_service.domain.errors import TokenExpired, TokenInvalid
from image_service.domain.images import is_user_id
from image_service.domain.time_limits import KEY_FETCH
from image_service.telemetry.telemetry import Telemetry

_MAX_TOKEN_CHARS: Final = 16 * 1024  # a load balancer takes no longer header
_MAX_CACHED_TOKENS: Final = 10_000
_MAX_CACHED_SECONDS: Final = 300
_NO_USER: Final = (
    "The token is of an app client, not of a user, and the client is not one of the service's "
    "machines; send a user's token, or have the client listed as a machine."
)

# The one spelling of a compact JWS (RFC 7515, section 7.1). Python's base64 decoder skips
# foreign characters, so without this one token would have endless spellings.
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LATEST_MOMENT: Final = 253_402_300_800  # the year 10000, in seconds since 1970


class CognitoVerifier:
    """A `TokenVerifier` for one user pool.

    `issuer` is the pool's, compared exactly. Tokens of users are of `client_ids`, and those with a
    group of `admin_groups` are administrators'; client credentials of `service_client_ids` are
    machines, whose scopes begin with `scope_prefix` and a slash. `clock` gives
    seconds since 1970 and judges tokens, `monotonic` any seconds that never jump and times the
    fetching of keys, `sleep` by the same seconds.
    """

    def __init__(  # noqa: PLR0913  # three of them only tests pass
        self,
        http: httpx.AsyncClient,
        *,
        issuer: str,
        jwks_url: str,
        client_ids: frozenset[str],
        service_client_ids: frozenset[str] = frozenset(),
        scope_prefix: str = "",
        admin_groups: frozenset[str] = frozenset(),
        leeway_seconds: int = 10,
        fetch_within: float = KEY_FETCH,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._keys = KeySet(
            http, jwks_url, fetch_within, monotonic, sleep, telemetry or Telemetry()
        )
        self._issuer = issuer
        self._client_ids = client_ids
        self._service_client_ids = service_client_ids
        self._scope_prefix = scope_prefix
        self._admin_groups = admin_groups
        self._leeway = leeway_seconds
        self._clock = clock
        # Keyed by hash, so that no token lies in memory for longer than its request. An
        # entry outlives its key: where the pool drops a key, what was verified with it
        # passes for up to 5 minutes more. That adds little to the hour a set is used for,
        # and Cognito's own access tokens can't be revoked at all.
        self._verified: TLRUCache[bytes, Caller, float] = TLRUCache(
            _MAX_CACHED_TOKENS,
            ttu=lambda _, who, now: min(who.expires_at, now + _MAX_CACHED_SECONDS),
            timer=clock,
        )

    async def verify(self, token: str) -> Caller:
        if len(token) > _MAX_TOKEN_CHARS:
            raise TokenInvalid(
                f"The token has {len(token):,} characters; the limit is {_MAX_TOKEN_CHARS:,}. "
                "Put less into it: fewer groups, or a smaller claim.",
                details={"measured": len(token), "limit": _MAX_TOKEN_CHARS},
            )
        if not _COMPACT_JWS.fullmatch(token):
            raise TokenInvalid
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            return known
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise TokenInvalid
        caller = self._caller(_signed_claims(token, key))
        self._verified[digest] = caller
        return caller

    def prefetch(self) -> None:
        """Begin to fetch the pool's keys, without waiting for them."""
        self._keys.prefetch()

    async def aclose(self) -> None:
        """Cancel a fetch that is under way."""
        await self._keys.aclose()

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject, expires_at = claims.get("sub"), _moment(claims, "exp")
        if (
            expires_at is None
            or claims.get("iss") != self._issuer
            or not isinstance(subject, str)
            or not is_user_id(subject)
        ):
            raise TokenInvalid
        kind = self._kind(claims)
        now = self._clock()
        for name in ("nbf", "iat"):
            moment = _moment(claims, name)
            if moment is not None and moment > now + self._leeway:
                raise TokenInvalid
        # Last, because "expired" says that a newer one of the kind will do.
        if expires_at <= now - self._leeway:
            raise TokenExpired
        if kind is Kind.MACHINE:
            scopes = _words(claims, "scope")
            return Caller(subject, int(expires_at), kind, scopes, self._scope_prefix)
        return Caller(subject, int(expires_at), kind)

    def _kind(self, claims: Mapping[str, Any]) -> Kind:
        """Raises TokenInvalid where it was not issued to an allowed client.

        As in the Amazon Cognito developer guide, "Verifying JSON web tokens": an ID token
        names its client in `aud`, an access token in `client_id`. Client credentials have the
        client for their subject, too, and no user behind them, so that they are never a user's.
        """
        match claims.get("token_use"):
            case "id":
                client, is_access = claims.get("aud"), False
            case "access":
                client, is_access = claims.get("client_id"), True
            case _:
                raise TokenInvalid
        if not isinstance(client, str):
            raise TokenInvalid
        of_client = client == claims.get("sub")
        if client in self._service_client_ids and of_client and is_access:
            return Kind.MACHINE
        if client not in self._client_ids:
            raise TokenInvalid
        if of_client:
            raise TokenInvalid(_NO_USER)
        return Kind.ADMIN if self._is_admin(claims.get("cognito:groups")) else Kind.USER

    def _is_admin(self, groups: object) -> bool:
        return isinstance(groups, list) and any(
            isinstance(group, str) and group in self._admin_groups for group in groups
        )


def _words(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    value = claims.get(name)
    return frozenset(value.split(" ")) if isinstance(value, str) else frozenset()


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
    if header.get("alg") != ALGORITHM or "crit" in header or not isinstance(key_id, str):
        raise TokenInvalid
    return key_id


def _signed_claims(token: str, key: Key) -> Mapping[str, Any]:
    try:
        claims = json.loads(jws.verify(token, key, algorithms=[ALGORITHM]))
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
