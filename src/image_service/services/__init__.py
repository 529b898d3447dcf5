"""The services: the order of things, in terms of the ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from image_service.domain.images import CdnUrls
from image_service.ports import RateLimiter, TokenVerifier
from image_service.services.admission import Admission
from image_service.services.health import HealthService
from image_service.services.library import Library
from image_service.services.uploads import UploadService
from image_service.services.usage import UsageService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the API calls; built once by `bootstrap`, held for the app's life."""

    admission: Admission
    uploads: UploadService
    library: Library
    usage: UsageService
    verifier: TokenVerifier
    rate_limiter: RateLimiter
    health: HealthService
    urls: CdnUrls
    is_live: Callable[[], bool]
