"""Whether pictures would come from where `imageUrl` says."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from image_service.adapters.http_faults import what_failed
from image_service.domain.diagnosis import Diagnosis, Stakes, failed, warning, well
from image_service.domain.images import CdnUrls

_TIMEOUT: Final = 5.0  # seconds
_MISSING: Final = frozenset({403, 404})
_SETTING: Final = "IMAGE_SERVICE_CDN_BASE_URL"


class CdnCheck:
    """A `SystemCheck`. Asks for a picture that is not there."""

    name = "cdn"

    def __init__(self, http: httpx.AsyncClient, base_url: str, stakes: Stakes) -> None:
        self._http = http
        self._base_url = base_url
        self._stakes = stakes

    async def examine(self) -> Sequence[Diagnosis]:
        parts = urlsplit(self._base_url)
        place = parts.netloc.rpartition("@")[2]
        url = CdnUrls(self._base_url).url(f"images/doctor/{uuid.uuid4()}.webp")
        try:
            answer = await self._http.get(url, timeout=_TIMEOUT, follow_redirects=False)
        except httpx.HTTPError as error:
            detail = f"no pictures from {place}: {what_failed(error)}"
            if self._stakes.emulated and _is_loopback(parts.hostname):
                remedy = "fine in a container, whose localhost is not the browser's"
                return [warning(self.name, detail, remedy)]
            remedy = f"check {_SETTING}, its DNS record and its certificate"
            return [failed(self.name, detail, remedy)]
        if answer.status_code not in _MISSING:
            return [self._wrong(place, answer.status_code)]
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            detail = f"{place} is named without TLS: pages over https will not show its pictures"
            return [self._stakes.missing(self.name, detail, f"begin {_SETTING} with https://")]
        return [well(self.name, f"{place} answers {answer.status_code} for a missing picture")]

    def _wrong(self, place: str, status: int) -> Diagnosis:
        detail = f"{place} answers {status} for a missing picture, not 404 or 403"
        if status == httpx.codes.UNAUTHORIZED:
            detail += ": that is the API's answer"
        remedy = (
            f"check {_SETTING}, and that /images/*.webp goes to the bucket (terraform/modules/cdn)"
        )
        return failed(self.name, detail, remedy)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
