"""The composition root: the only place that knows which adapter stands behind a port."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import aioboto3
import httpx
import structlog
from botocore.exceptions import ProfileNotFound

from image_service import __version__
from image_service.adapters.aws.clients import aws_client, measure_calls
from image_service.adapters.aws.cloudfront import CloudFrontCdn, NullCdn
from image_service.adapters.aws.s3 import S3Health, S3ObjectStore
from image_service.adapters.cognito.verifier import CognitoVerifier
from image_service.adapters.dynamodb import (
    DynamoBacklog,
    DynamoHealth,
    DynamoIdempotencyRecords,
    DynamoImageLists,
    DynamoImageRepository,
    DynamoOutbox,
    DynamoRerenders,
    DynamoUploadIntents,
    DynamoUsageCounters,
)
from image_service.adapters.machine import (
    available_cpus,
    available_memory,
    usual_memory,
)
from image_service.adapters.redis import (
    RedisHealth,
    RedisImageCache,
    RedisLink,
    RedisWindows,
    open_redis,
)
from image_service.adapters.redis.counting import NullCache
from image_service.adapters.redis.rate_limit import WindowRateLimiter
from image_service.domain.images import CdnUrls
from image_service.domain.renditions import RenditionSpec, table
from image_service.domain.task_size import LEAST_MEMORY, SMALLEST_TASK, USUAL_MEMORY, bounds_for
from image_service.domain.time_limits import AWS_READ, TimeLimits
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor
from image_service.ports import CachePurges, Cdn, HealthProbe, ImageCache
from image_service.services import Services, outbox, sweeping
from image_service.services.admission import Admission, AdmissionLimits
from image_service.services.deletions import DeletionService
from image_service.services.health import HealthService
from image_service.services.library import Library
from image_service.services.outbox import OutboxProcessor, PurgeCache
from image_service.services.storing import ImageWriter
from image_service.services.sweeping import IntentSweeper, RerenderSweeper
from image_service.services.uploads import UploadService
from image_service.services.usage import UsageService
from image_service.services.worker import Worker
from image_service.settings import FORM_BYTES, Settings, SettingsError, load_trace_settings
from image_service.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client

log = structlog.stdlib.get_logger(__name__)

_MIB: Final = 2**20


def new_telemetry(stage: str) -> Telemetry:
    """Nothing measured yet; traced where an endpoint for traces is set. Raises SettingsError."""
    build = {"version": __version__, "python": platform.python_version()}
    settings = load_trace_settings()
    if settings is None:
        return Telemetry(build)
    # Takes a tenth of a second and 20 MB, of those who use it.
    from image_service.telemetry.tracing import Tracing  # noqa: PLC0415

    tracing = Tracing(
        {
            "service.name": "image-service",
            "service.version": __version__,
            "deployment.environment.name": stage,
        },
        sampler=settings.traces_sampler,
        share=settings.traces_sampler_arg,
    )
    return Telemetry(build, tracing)


@asynccontextmanager
async def open_services(
    settings: Settings,
    telemetry: Telemetry,
    times: TimeLimits,
    renditions: Sequence[RenditionSpec] | None = None,
) -> AsyncIterator[Services]:
    """Open every client once, build the services; close in reverse order.

    `renditions` are the settings' own where none are given.
    """
    renditions = renditions or table(settings.rendition_widths)
    async with AsyncExitStack() as stack:
        limits = admission_limits(settings, times)
        log.info("task_bounds", **asdict(limits))
        processor = VipsProcessor(
            limits=picture_limits(settings, limits, times, renditions),
            worker_threads=limits.workers,
            telemetry=telemetry,
        )
        stack.callback(processor.close)
        await processor.start()
        stores = await open_stores(settings, stack, telemetry)
        redis = await open_redis_link(settings, stack, telemetry, times)
        cache = await open_cache(redis, stores.outbox, stack, telemetry)
        admission = Admission(limits, telemetry)
        rate_limiter = WindowRateLimiter(
            requests=settings.rate_limit_requests,
            uploads=settings.rate_limit_uploads,
            machine_requests=settings.rate_limit_machines,
            shared=RedisWindows(redis) if redis else None,
        )
        uploads = UploadService(
            limiter=rate_limiter,
            renditions=renditions,
            processor=processor,
            admission=admission,
            intents=stores.intents,
            records=stores.records,
            writer=ImageWriter(
                objects=stores.objects,
                repository=stores.repository,
                intents=stores.intents,
                records=stores.records,
                cache=cache,
            ),
        )
        worker = Worker(
            processor=stores.outbox_processor(cache.purge),
            sweeper=stores.sweeper,
            rerenders=stores.rerender_sweeper,
            poll=times.outbox_poll,
            backlog=stores.backlog,
            telemetry=telemetry,
        )
        stack.push_async_callback(worker.aclose)
        stack.push_async_callback(uploads.aclose)  # while the worker still runs
        deletions = DeletionService(
            objects=stores.objects, outbox=stores.outbox, nudge=worker.nudge
        )
        stack.push_async_callback(deletions.aclose)
        worker.start()
        await stack.enter_async_context(telemetry.watching_loop())
        yield Services(
            admission=admission,
            uploads=uploads,
            library=Library(
                repository=stores.repository,
                lists=stores.lists,
                cache=cache,
                deletions=deletions,
            ),
            usage=UsageService(stores.usage),
            verifier=await _verifier(settings, stack, telemetry),
            rate_limiter=rate_limiter,
            health=HealthService(
                required=stores.health,
                optional={"redis": RedisHealth(redis) if redis else None},
            ),
            urls=CdnUrls(settings.cdn_base_url),
            is_live=processor.is_live,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores on AWS, behind their ports, and the clients that reach them."""

    dynamodb: DynamoDBClient
    s3: S3Client
    repository: DynamoImageRepository
    lists: DynamoImageLists
    usage: DynamoUsageCounters
    intents: DynamoUploadIntents
    rerenders: DynamoRerenders
    records: DynamoIdempotencyRecords
    outbox: DynamoOutbox
    backlog: DynamoBacklog
    objects: S3ObjectStore
    cdn: Cdn
    health: Sequence[HealthProbe]

    @property
    def sweeper(self) -> IntentSweeper:
        return IntentSweeper(intents=self.intents, objects=self.objects, watched=sweeping.WATCHED)

    @property
    def rerender_sweeper(self) -> RerenderSweeper:
        return RerenderSweeper(
            self.rerenders, self.repository, self.objects, watched=sweeping.WATCHED
        )

    def outbox_processor(self, purge_cache: PurgeCache) -> OutboxProcessor:
        return OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=self.cdn,
            repository=self.repository,
            purge_cache=purge_cache,
            watched=outbox.WATCHED,
        )


async def open_stores(settings: Settings, stack: AsyncExitStack, telemetry: Telemetry) -> Stores:
    session = aws_session()

    async def client(service: str) -> Any:
        opened = await stack.enter_async_context(
            aws_client(session, service, read_timeout=AWS_READ[service])
        )
        measure_calls(opened, service, telemetry)
        return opened

    dynamodb, s3 = await client("dynamodb"), await client("s3")
    table, bucket = settings.table_name, settings.bucket
    cdn: Cdn = NullCdn()
    if settings.cloudfront_distribution_id:
        cdn = CloudFrontCdn(await client("cloudfront"), settings.cloudfront_distribution_id)
    return Stores(
        dynamodb=dynamodb,
        s3=s3,
        repository=DynamoImageRepository(dynamodb, table),
        lists=DynamoImageLists(dynamodb, table),
        usage=DynamoUsageCounters(dynamodb, table),
        intents=DynamoUploadIntents(dynamodb, table),
        rerenders=DynamoRerenders(dynamodb, table),
        records=DynamoIdempotencyRecords(dynamodb, table),
        outbox=DynamoOutbox(dynamodb, table),
        backlog=DynamoBacklog(dynamodb, table),
        objects=S3ObjectStore(
            s3,
            bucket=bucket,
            cache_control=settings.object_cache_control,
            storage_class=settings.storage_class,
        ),
        cdn=cdn,
        health=(DynamoHealth(dynamodb, table), S3Health(s3, bucket)),
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


async def open_redis_link(
    settings: Settings, stack: AsyncExitStack, telemetry: Telemetry, times: TimeLimits
) -> RedisLink | None:
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    link = open_redis(url, within=times.redis_timeout, telemetry=telemetry)
    return await stack.enter_async_context(link)


async def open_cache(
    redis: RedisLink | None, outbox: CachePurges, stack: AsyncExitStack, telemetry: Telemetry
) -> ImageCache:
    if redis is None:
        return NullCache(telemetry)
    cache = RedisImageCache(redis, add_purge=outbox.add_cache_purge, telemetry=telemetry)
    stack.push_async_callback(cache.aclose)
    return cache


def picture_limits(
    settings: Settings,
    limits: AdmissionLimits,
    times: TimeLimits,
    renditions: Sequence[RenditionSpec],
) -> PictureLimits:
    return PictureLimits(
        min_side=settings.min_dimension,
        max_side=settings.max_dimension,
        max_decode_bytes=limits.decode_bytes,
        renditions=renditions,
        cpu_seconds=settings.picture_cpu_seconds,
        timeout=times.processing_timeout,
    )


def admission_limits(settings: Settings, times: TimeLimits) -> AdmissionLimits:
    """Returns the bounds of a task of this size, but for those that settings name."""
    cpus = settings.task_cpus or settings.worker_threads or available_cpus()
    bounds = bounds_for(cpus, settings.task_memory_bytes or usual_memory(USUAL_MEMORY))
    one_upload = settings.max_file_bytes + FORM_BYTES
    return AdmissionLimits(
        workers=settings.worker_threads or bounds.workers,
        uploads=settings.max_uploads or bounds.uploads,
        upload_bytes=settings.upload_memory_bytes or max(one_upload, bounds.upload_bytes),
        decode_bytes=settings.decode_memory_bytes or bounds.decode_bytes,
        waiting_bytes=bounds.waiting_bytes,
        user_share=settings.user_share,
        max_wait=times.queue_timeout,
    )


def require_memory() -> None:
    """Raises SettingsError where the process may use less memory than it needs at least."""
    found = available_memory()
    if found is not None and found < LEAST_MEMORY:
        text = (
            f"too little memory: control group (cgroup) or machine have {found // _MIB} MiB, "
            f"at least {LEAST_MEMORY // _MIB} are needed: give the container or unit "
            f"{SMALLEST_TASK // _MIB} or more"
        )
        raise SettingsError([text])


async def _verifier(
    settings: Settings, stack: AsyncExitStack, telemetry: Telemetry
) -> CognitoVerifier:
    http = await stack.enter_async_context(httpx.AsyncClient())
    verifier = CognitoVerifier(
        http,
        issuer=settings.cognito_issuer,
        jwks_url=settings.jwks_location,
        client_ids=settings.cognito_client_ids,
        service_client_ids=settings.service_client_ids,
        scope_prefix=settings.service_scope_prefix,
        admin_groups=settings.admin_groups,
        telemetry=telemetry,
    )
    stack.push_async_callback(verifier.aclose)
    verifier.prefetch()
    return verifier
