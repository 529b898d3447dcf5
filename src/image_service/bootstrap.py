"""The composition root: the only place that knows which adapter stands behind a port."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aioboto3
import httpx
import structlog
from botocore.exceptions import ProfileNotFound

from image_service.adapters.aws_config import client_config
from image_service.adapters.cloudfront import CloudFrontCdn, NullCdn
from image_service.adapters.cognito import CognitoVerifier
from image_service.adapters.dynamodb import (
    DynamoHealth,
    DynamoIdempotencyRecords,
    DynamoImageLists,
    DynamoImageRepository,
    DynamoUploadIntents,
)
from image_service.adapters.null_cache import CacheCounts, NullCache
from image_service.adapters.rate_limit import LimitsRateLimiter
from image_service.adapters.redis import (
    RedisHealth,
    RedisImageCache,
    RedisLink,
    RedisWindows,
    open_redis,
)
from image_service.adapters.s3 import S3Health, S3ObjectStore
from image_service.adapters.vips import (
    EncodingOptions,
    PictureLimits,
    VipsProcessor,
    check_vips,
)
from image_service.domain.images import CdnUrls
from image_service.ports import Cdn, ImageCache
from image_service.services import Services
from image_service.services.deletions import DeletionService
from image_service.services.health import HealthService
from image_service.services.library import Library
from image_service.services.storing import ImageWriter
from image_service.services.uploads import UploadService
from image_service.settings import Settings, SettingsError

log = structlog.stdlib.get_logger(__name__)

# Seconds to wait for an answer: small items, whole pictures, a slow control plane.
_READ_TIMEOUTS: Final = {"dynamodb": 3.0, "s3": 10.0, "cloudfront": 10.0}


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open every client once, build the services; close in reverse order."""
    check_vips()
    async with AsyncExitStack() as stack:
        session = aws_session()

        async def client(service: str) -> Any:
            config = client_config(read_timeout=_READ_TIMEOUTS[service])
            return await stack.enter_async_context(session.client(service, config=config))

        dynamodb, s3 = await client("dynamodb"), await client("s3")
        repository = DynamoImageRepository(dynamodb, settings.table_name)
        objects = S3ObjectStore(
            s3,
            bucket=settings.bucket,
            cache_control=settings.object_cache_control,
            storage_class=settings.storage_class,
        )
        cdn: Cdn = NullCdn()
        if settings.cloudfront_distribution_id:
            cdn = CloudFrontCdn(await client("cloudfront"), settings.cloudfront_distribution_id)

        redis = await _redis(settings, stack)
        cache = await _cache(redis, stack)
        processor = _processor(settings)
        stack.callback(processor.close)
        intents = DynamoUploadIntents(dynamodb, settings.table_name)
        records = DynamoIdempotencyRecords(dynamodb, settings.table_name)
        uploads = UploadService(
            processor=processor,
            intents=intents,
            records=records,
            writer=ImageWriter(
                objects=objects, repository=repository, intents=intents, records=records
            ),
        )
        stack.push_async_callback(uploads.aclose)
        yield Services(
            uploads=uploads,
            library=Library(
                repository=repository,
                lists=DynamoImageLists(dynamodb, settings.table_name),
                cache=cache,
                deletions=DeletionService(repository=repository, objects=objects, cdn=cdn),
            ),
            verifier=await _verifier(settings, stack),
            rate_limiter=LimitsRateLimiter(
                requests=settings.rate_limit_requests,
                uploads=settings.rate_limit_uploads,
                shared=RedisWindows(redis) if redis else None,
            ),
            health=HealthService(
                required=[
                    DynamoHealth(dynamodb, settings.table_name),
                    S3Health(s3, settings.bucket),
                ],
                optional={"redis": RedisHealth(redis) if redis else None},
            ),
            urls=CdnUrls(settings.cdn_base_url),
        )


def aws_session() -> aioboto3.Session:
    """A session of the standard AWS settings. Raises SettingsError where they can't work."""
    try:
        # botocore itself reads only the second of the two.
        session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    except ProfileNotFound as missing:
        raise SettingsError([f"AWS_PROFILE: {missing}"]) from None
    if session.region_name is None:
        raise SettingsError(["AWS_REGION is not set; it is required"])
    return session


async def _redis(settings: Settings, stack: AsyncExitStack) -> RedisLink | None:
    if settings.redis_url is None:
        return None
    return await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value()))


async def _cache(redis: RedisLink | None, stack: AsyncExitStack) -> ImageCache:
    counts = CacheCounts()
    if redis is None:
        return NullCache(counts)
    cache = RedisImageCache(redis, add_purge=_purge_unrecorded, observer=counts)
    stack.push_async_callback(cache.aclose)
    return cache


async def _purge_unrecorded(user_id: str, image_id: str, at: datetime) -> None:
    log.warning("cache_purge_unrecorded", user_id=user_id, image_id=image_id, at=at.isoformat())


def _processor(settings: Settings) -> VipsProcessor:
    return VipsProcessor(
        limits=PictureLimits(
            min_side=settings.min_dimension,
            max_side=settings.max_dimension,
        ),
        options=EncodingOptions(
            main_size=settings.main_size,
            main_quality=settings.main_quality,
            thumbnail_size=settings.thumbnail_size,
            thumbnail_quality=settings.thumbnail_quality,
            effort=settings.webp_effort,
            timeout=settings.processing_timeout,
        ),
        worker_threads=settings.worker_threads or _available_cpus(),
    )


async def _verifier(settings: Settings, stack: AsyncExitStack) -> CognitoVerifier:
    http = await stack.enter_async_context(httpx.AsyncClient())
    verifier = CognitoVerifier(
        http,
        issuer=settings.cognito_issuer,
        jwks_url=settings.jwks_location,
        client_ids=settings.cognito_client_ids,
    )
    stack.push_async_callback(verifier.aclose)
    return verifier


def _available_cpus() -> int:
    """Whole processors this process may use, by affinity and by the container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cpus, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or "max": no quota
        return cpus
