"""The check that the keys for verifying tokens can be fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from image_service.adapters.cognito.jwks import download_keys, usable_keys
from image_service.tools.doctor.diagnosis import Diagnosis, failed, warning, well
from image_service.tools.doctor.http_errors import what_failed

_COGNITO: Final = "cognito-idp."
_POOL: Final = (
    "check IMAGE_SERVICE_COGNITO_ISSUER (https://cognito-idp.<region>.amazonaws.com/<pool>) "
    "or IMAGE_SERVICE_JWKS_URL"
)


class SigningKeysCheck:
    """A `SystemCheck` of a user pool's JWKS, fetched as the service does.

    `jwks_url` may be elsewhere than the issuer has it. Whether those keys are its own can't be
    seen from them; but where Cognito has a pool's is known (the Amazon Cognito developer guide,
    "Verifying JSON web tokens").
    """

    name = "jwks"

    def __init__(self, http: httpx.AsyncClient, jwks_url: str, *, issuer: str) -> None:
        self._http = http
        self._url = jwks_url
        self._issuer = issuer

    async def examine(self) -> Sequence[Diagnosis]:
        place = _place(self._url)
        try:
            body = await download_keys(self._http, self._url)
        except (httpx.HTTPError, TimeoutError) as error:
            remedy = f"let the task reach it (NAT, security group), or {_POOL}"
            cause = (
                what_failed(error) if isinstance(error, httpx.HTTPError) else "it takes too long"
            )
            return [failed(self.name, f"no JWKS from {place}: {cause}; nobody can sign in", remedy)]
        except ValueError as error:  # in our words
            return [failed(self.name, f"{place} responds with {error}, no JWKS", _POOL)]
        try:
            keys = usable_keys(json.loads(body))
        except (ValueError, RecursionError):
            return [failed(self.name, f"{place} has no usable RS256 key", _POOL)]
        return [self._by_owner(f"{len(keys)} RS256 from {place}")]

    def _by_owner(self, detail: str) -> Diagnosis:
        issuer = _place(self._issuer)
        if self._url == f"{self._issuer}/.well-known/jwks.json":
            return well(self.name, detail)
        if issuer.startswith(_COGNITO):
            remedy = "unset IMAGE_SERVICE_JWKS_URL, unless what is there are copies of the issuer's"
            return warning(self.name, f"{detail}, which is not where {issuer} has its own", remedy)
        return well(self.name, f"{detail}; that {issuer} signs with them is taken on trust")


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
