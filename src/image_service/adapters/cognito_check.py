"""Whether the keys that tokens are checked by can be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from image_service.adapters.cognito import usable_keys
from image_service.adapters.http_faults import what_failed
from image_service.domain.diagnosis import Diagnosis, failed, well

_TIMEOUT: Final = 5.0  # seconds
_POOL: Final = (
    "check IMAGE_SERVICE_COGNITO_ISSUER (https://cognito-idp.<region>.amazonaws.com/<pool>) "
    "or IMAGE_SERVICE_JWKS_URL"
)


class SigningKeysCheck:
    """A `SystemCheck` of a user pool's JWKS."""

    name = "jwks"

    def __init__(self, http: httpx.AsyncClient, jwks_url: str) -> None:
        self._http = http
        self._url = jwks_url

    async def examine(self) -> Sequence[Diagnosis]:
        place = urlsplit(self._url).netloc.rpartition("@")[2]
        try:
            answer = await self._http.get(self._url, timeout=_TIMEOUT, follow_redirects=False)
        except httpx.HTTPError as error:
            remedy = f"let the task reach it (NAT, security group), or {_POOL}"
            detail = f"no JWKS from {place}: {what_failed(error)}"
            return [failed(self.name, f"{detail}; nobody can sign in", remedy)]
        if answer.status_code != httpx.codes.OK:
            return [failed(self.name, f"{place} answers {answer.status_code}, no JWKS", _POOL)]
        try:
            keys = usable_keys(answer.json())
        except (ValueError, RecursionError):
            return [failed(self.name, f"{place} has no usable RS256 key", _POOL)]
        return [well(self.name, f"{len(keys)} RS256 from {place}")]
