"""Checks of the CDN: that pictures are served where `imageUrl` points, and can be invalidated."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from image_service.domain.images import CdnUrls, new_image_id
from image_service.domain.renditions import RENDITIONS
from image_service.tools.doctor.errors import cleared_away, host_of, http_error, response_of
from image_service.tools.doctor.findings import Finding, failed, warning, well
from image_service.tools.doctor.runner import Systems

_TIMEOUT: Final = 5.0  # seconds
_MISSING: Final = frozenset({403, 404})
_SETTING: Final = "IMAGE_SERVICE_CDN_BASE_URL"
_CONTENT: Final = b"image-service doctor"
_NO_INVALIDATION: Final = "IDOCTOR0000000"


async def there(at: Systems) -> Finding:
    """Asks for a picture that is not there."""
    base_url = at.settings.cdn_base_url
    place = host_of(base_url)
    try:
        status, _ = await _get(at, _new_key())
    except httpx.HTTPError as error:
        return _unreachable(at, error)
    detail = f"{place} responds with {status} for a missing picture"
    if status not in _MISSING:
        of_api = ": that is the API's response" if status == httpx.codes.UNAUTHORIZED else ""
        routed = "that /images/*.webp goes to the bucket (terraform/modules/cdn)"
        return failed(f"{detail}, not 404 or 403{of_api}", f"check {_SETTING}, and {routed}")
    if base_url.startswith("http:") and not _is_loopback(at):
        detail = f"{place} is named without TLS: pages over https will not show its pictures"
        return at.missing(detail, f"begin {_SETTING} with https://")
    return well(detail)


async def picture(at: Systems) -> Finding:
    """Puts a picture where the service would, gets and deletes it.

    Should the deletion fail, reconcile finds a file without an image.
    """
    bucket, key = at.settings.bucket, _new_key()

    async def delete() -> None:
        await at.s3.delete_object(Bucket=bucket, Key=key)

    async with cleared_away(delete):
        await at.s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=_CONTENT,
            ContentType="image/webp",
            CacheControl="no-store",  # nothing stays at the edge
            ServerSideEncryption="AES256",
            StorageClass=at.settings.storage_class,
        )
        return await _fetched(at, key)


async def distribution(at: Systems) -> Finding:
    """Asks for an invalidation that is not there: to make one costs."""
    name = at.settings.cloudfront_distribution_id
    if at.cloudfront is None or name is None:
        if not at.production:
            return well("disabled: nothing is invalidated")
        detail = "disabled: deleted pictures stay at the edge until they expire"
        return warning(detail, "set IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID")
    request = at.cloudfront.get_invalidation(DistributionId=name, Id=_NO_INVALIDATION)
    response = await response_of(request, "NoSuchDistribution", "NoSuchInvalidation")
    if response.get("Error", {}).get("Code") == "NoSuchDistribution":
        remedy = "check IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID"
        return failed(f"there is no distribution {name}", remedy)
    return well(f"distribution {name} is there")


async def _fetched(at: Systems, key: str) -> Finding:
    bucket, place = at.settings.bucket, host_of(at.settings.cdn_base_url)
    try:
        status, body = await _get(at, key)
    except httpx.HTTPError as error:
        return _unreachable(at, error)
    if (status, body) == (httpx.codes.OK, _CONTENT):
        return well(f"put into {bucket}, had from {place}, deleted")
    what = f"responds with {status}" if status != httpx.codes.OK else "has something else"
    remedy = (
        f"check {_SETTING}; the CDN must read from {bucket}, "
        "whose policy must let it (terraform/modules/storage)"
    )
    return failed(f"{place} {what} for a picture put into {bucket}", remedy)


async def _get(at: Systems, key: str) -> tuple[int, bytes]:
    """Gets a picture as browsers do: its status, and the body if not too long."""
    body = b""
    url = CdnUrls(at.settings.cdn_base_url).url(key)
    async with at.http.stream("GET", url, timeout=_TIMEOUT, follow_redirects=False) as response:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > len(_CONTENT):
                break
    return response.status_code, body


def _unreachable(at: Systems, error: httpx.HTTPError) -> Finding:
    detail = f"no pictures from {host_of(at.settings.cdn_base_url)}: {http_error(error)}"
    if at.emulated and _is_loopback(at):
        return warning(detail, "fine in a container, whose localhost is not the browser's")
    return failed(detail, f"check {_SETTING}, its DNS record and its certificate")


def _is_loopback(at: Systems) -> bool:
    host = urlsplit(at.settings.cdn_base_url).hostname
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _new_key() -> str:
    return RENDITIONS[0].key("doctor", new_image_id(datetime.now(UTC)))
