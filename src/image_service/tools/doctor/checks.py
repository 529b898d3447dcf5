"""The list of checks of `image-service doctor`, and its composition root."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from botocore.exceptions import BotoCoreError

from image_service.adapters.aws.clients import aws_client
from image_service.adapters.machine import available_cpus, available_memory
from image_service.bootstrap import admission_limits, aws_session
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings, SettingsError
from image_service.tools.doctor.aws_errors import is_aws
from image_service.tools.doctor.bucket import BucketCheck
from image_service.tools.doctor.cdn import CdnCheck, PictureCheck, PublicAddress
from image_service.tools.doctor.clock import ClockCheck
from image_service.tools.doctor.cloudfront import DistributionCheck, NoDistributionCheck
from image_service.tools.doctor.cognito import SigningKeysCheck
from image_service.tools.doctor.credentials import CredentialsCheck
from image_service.tools.doctor.diagnosis import Stakes
from image_service.tools.doctor.machine import MemoryCheck, VipsCheck, WorkersCheck
from image_service.tools.doctor.redis import RedisCheck, RedisWriteCheck
from image_service.tools.doctor.service import Doctor, SystemCheck
from image_service.tools.doctor.table import TableCheck
from image_service.tools.doctor.table_trials import TableReadCheck, TableWriteCheck

PRODUCTION: Final = "prod"

# Three tries of it end before the check does, so that its line can say what is wrong.
_READ_TIMEOUT: Final = 2.0


@asynccontextmanager
async def open_doctor(settings: Settings, *, write: bool) -> AsyncIterator[Doctor]:
    """With `write`, it also writes to table, bucket and Redis.

    Raises SettingsError where the AWS settings can't work.
    """
    async with AsyncExitStack() as stack:
        session = aws_session()
        aws = _Aws(
            session=session,
            dynamodb=await _client("dynamodb", session, stack),
            s3=await _client("s3", session, stack),
        )
        production = settings.stage == PRODUCTION
        emulated = not production and not is_aws(aws.s3.meta.endpoint_url)
        stakes = Stakes(production=production, emulated=emulated)
        http = await stack.enter_async_context(httpx.AsyncClient())
        address = PublicAddress(http, settings.cdn_base_url, stakes)
        yield Doctor(
            [
                *_store_checks(settings, aws, stakes),
                *(_write_checks(settings, aws, address) if write else ()),
                ClockCheck(aws.s3, settings.bucket),
                SigningKeysCheck(http, settings.jwks_location, issuer=settings.cognito_issuer),
                *_redis_checks(settings, write=write),
                CdnCheck(address),
                await _distribution_check(settings, session, stakes, stack),
                *_machine_checks(settings),
            ]
        )


@dataclass(frozen=True, slots=True)
class _Aws:
    session: Any
    dynamodb: Any
    s3: Any


async def _client(service: str, session: Any, stack: AsyncExitStack) -> Any:
    client = aws_client(session, service, read_timeout=_READ_TIMEOUT)
    try:
        return await stack.enter_async_context(client)
    except (BotoCoreError, ValueError) as error:
        names = f"AWS_REGION or AWS_ENDPOINT_URL_{service.upper()}"
        raise SettingsError([f"{names} is malformed ({type(error).__name__})"]) from error


def _store_checks(settings: Settings, aws: _Aws, stakes: Stakes) -> Sequence[SystemCheck]:
    return [
        CredentialsCheck(aws.session, aws.dynamodb, settings.table_name),
        TableCheck(aws.dynamodb, settings.table_name, stakes),
        TableReadCheck(aws.dynamodb, settings.table_name),
        BucketCheck(aws.s3, settings.bucket, stakes),
    ]


def _write_checks(settings: Settings, aws: _Aws, address: PublicAddress) -> Sequence[SystemCheck]:
    return [
        TableWriteCheck(aws.dynamodb, settings.table_name),
        PictureCheck(address, aws.s3, settings.bucket, settings.storage_class),
    ]


def _redis_checks(settings: Settings, *, write: bool) -> Sequence[SystemCheck]:
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    looking = RedisCheck(url, within=TimeLimits.redis_timeout)
    return [looking, RedisWriteCheck(url)] if write and url else [looking]


async def _distribution_check(
    settings: Settings, session: Any, stakes: Stakes, stack: AsyncExitStack
) -> SystemCheck:
    if settings.cloudfront_distribution_id is None:
        return NoDistributionCheck(stakes)
    client = await _client("cloudfront", session, stack)
    return DistributionCheck(client, settings.cloudfront_distribution_id)


def _machine_checks(settings: Settings) -> Sequence[SystemCheck]:
    limits = admission_limits(settings, TimeLimits())
    memory = [settings.task_memory_bytes, available_memory()]
    return [
        VipsCheck(),
        WorkersCheck(limits.workers, math.ceil(available_cpus())),
        MemoryCheck(
            workers=limits.workers,
            upload_bytes=limits.upload_bytes,
            decode_bytes=limits.decode_bytes,
            limit=min((each for each in memory if each), default=None),
        ),
    ]
