"""The check that the issuer's keys for verifying tokens can be fetched."""

from __future__ import annotations

import json
from typing import Final

import httpx

from image_service.adapters.cognito.jwks import download_keys, usable_keys
from image_service.tools.doctor.errors import host_of, http_error
from image_service.tools.doctor.findings import Finding, failed, warning, well
from image_service.tools.doctor.runner import Systems

_POOL: Final = (
    "check IMAGE_SERVICE_COGNITO_ISSUER (https://cognito-idp.<region>.amazonaws.com/<pool>) "
    "or IMAGE_SERVICE_JWKS_URL"
)


async def signing_keys(at: Systems) -> Finding:
    """Fetches them as the service does."""
    url = at.settings.jwks_location
    place = host_of(url)
    try:
        body = await download_keys(at.http, url)
    except (httpx.HTTPError, TimeoutError) as error:
        remedy = f"let the task reach it (NAT, security group), or {_POOL}"
        cause = http_error(error) if isinstance(error, httpx.HTTPError) else "it takes too long"
        return failed(f"no JWKS from {place}: {cause}; nobody can sign in", remedy)
    except ValueError as error:  # in our words
        return failed(f"{place} responds with {error}, no JWKS", _POOL)
    try:
        keys = usable_keys(json.loads(body))
    except (ValueError, RecursionError):
        return failed(f"{place} has no usable RS256 key", _POOL)
    return _by_owner(f"{len(keys)} RS256 from {place}", url, at.settings.cognito_issuer)


def _by_owner(detail: str, url: str, issuer: str) -> Finding:
    """Returns whether they are the issuer's, as far as can be known.

    It can't be seen from keys of another place; but where Cognito has a pool's is known (the
    Amazon Cognito developer guide, "Verifying JSON web tokens").
    """
    place = host_of(issuer)
    if url == f"{issuer}/.well-known/jwks.json":
        return well(detail)
    if place.startswith("cognito-idp."):
        remedy = "unset IMAGE_SERVICE_JWKS_URL, unless what is there are copies of the issuer's"
        return warning(f"{detail}, which is not where {place} has its own", remedy)
    return well(f"{detail}; that {place} signs with them is taken on trust")
