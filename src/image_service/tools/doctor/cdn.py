"""The check that pictures are served where `imageUrl` points."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from image_service.domain.images import CdnUrls, new_image_id
from image_service.domain.renditions import RENDITIONS
from image_service.tools.doctor.aws_errors import cleared_away, diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, failed, warning, well
from image_service.tools.doctor.http_errors import what_failed

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.literals import StorageClassType

_TIMEOUT: Final = 5.0  # seconds
_MISSING: Final = frozenset({403, 404})
_SETTING: Final = "IMAGE_SERVICE_CDN_BASE_URL"
_CONTENT: Final = b"image-service doctor"


class PublicAddress:
    """The origin that browsers get pictures from."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, stakes: Stakes) -> None:
        self._http = http
        self._urls = CdnUrls(base_url)
        self._stakes = stakes
        self._parts = urlsplit(base_url)
        self.place = self._parts.netloc.rpartition("@")[2]

    async def get(self, key: str) -> tuple[int, bytes]:
        """The status, and the body if not too long. Raises httpx.HTTPError."""
        body = b""
        url = self._urls.url(key)
        async with self._http.stream(
            "GET", url, timeout=_TIMEOUT, follow_redirects=False
        ) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > len(_CONTENT):
                    break
        return response.status_code, body

    def unreachable(self, check: str, error: httpx.HTTPError) -> Diagnosis:
        detail = f"no pictures from {self.place}: {what_failed(error)}"
        if self._stakes.emulated and _is_loopback(self._parts.hostname):
            remedy = "fine in a container, whose localhost is not the browser's"
            return warning(check, detail, remedy)
        return failed(check, detail, f"check {_SETTING}, its DNS record and its certificate")

    def insecure(self, check: str) -> Diagnosis | None:
        if self._parts.scheme != "http" or _is_loopback(self._parts.hostname):
            return None
        detail = f"{self.place} is named without TLS: pages over https will not show its pictures"
        return self._stakes.missing(check, detail, f"begin {_SETTING} with https://")


class CdnCheck:
    """A `SystemCheck`. Asks for a picture that is not there."""

    name = "cdn"

    def __init__(self, address: PublicAddress) -> None:
        self._address = address

    async def examine(self) -> Sequence[Diagnosis]:
        place = self._address.place
        try:
            status, _ = await self._address.get(_new_key())
        except httpx.HTTPError as error:
            return [self._address.unreachable(self.name, error)]
        if status not in _MISSING:
            return [self._wrong(place, status)]
        detail = f"{place} responds with {status} for a missing picture"
        return [self._address.insecure(self.name) or well(self.name, detail)]

    def _wrong(self, place: str, status: int) -> Diagnosis:
        detail = f"{place} responds with {status} for a missing picture, not 404 or 403"
        if status == httpx.codes.UNAUTHORIZED:
            detail += ": that is the API's response"
        remedy = (
            f"check {_SETTING}, and that /images/*.webp goes to the bucket (terraform/modules/cdn)"
        )
        return failed(self.name, detail, remedy)


class PictureCheck:
    """A `SystemCheck` that puts a picture where the service would, gets and deletes it.

    Should the deletion fail, reconcile finds a file without an image.
    """

    name = "picture"

    def __init__(
        self,
        address: PublicAddress,
        client: S3Client,
        bucket: str,
        storage_class: StorageClassType,
    ) -> None:
        self._address = address
        self._client = client
        self._bucket = bucket
        self._storage_class = storage_class

    async def examine(self) -> Sequence[Diagnosis]:
        key = _new_key()
        async with cleared_away(lambda: self._delete(key)):
            await self._put(key)
            return [await self._got(key)]

    async def _put(self, key: str) -> None:
        with diagnosed(self.name, "s3:PutObject on images/*", self._client.meta.endpoint_url):
            await self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=_CONTENT,
                ContentType="image/webp",
                CacheControl="no-store",  # nothing stays at the edge
                ServerSideEncryption="AES256",
                StorageClass=self._storage_class,
            )

    async def _got(self, key: str) -> Diagnosis:
        place = self._address.place
        try:
            status, body = await self._address.get(key)
        except httpx.HTTPError as error:
            return self._address.unreachable(self.name, error)
        if (status, body) == (httpx.codes.OK, _CONTENT):
            return well(self.name, f"put into {self._bucket}, had from {place}, deleted")
        what = f"responds with {status}" if status != httpx.codes.OK else "has something else"
        remedy = (
            f"check {_SETTING}; the CDN must read from {self._bucket}, "
            "whose policy must let it (terraform/modules/storage)"
        )
        return failed(self.name, f"{place} {what} for a picture put into {self._bucket}", remedy)

    async def _delete(self, key: str) -> None:
        with diagnosed(self.name, "s3:DeleteObject on images/*", self._client.meta.endpoint_url):
            await self._client.delete_object(Bucket=self._bucket, Key=key)


def _new_key() -> str:
    return RENDITIONS[0].key("doctor", new_image_id(datetime.now(UTC)))


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
