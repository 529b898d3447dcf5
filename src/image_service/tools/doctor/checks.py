"""The list of checks of `image-service doctor`, and the systems they look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from botocore.exceptions import BotoCoreError

from image_service.adapters.aws.clients import aws_client
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX
from image_service.bootstrap import aws_session
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings, SettingsError, ignored_settings
from image_service.tools.doctor import bucket, cdn, issuer, machine, redis, table
from image_service.tools.doctor.findings import Finding, warning, well
from image_service.tools.doctor.runner import Check, Systems

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
# Three tries of it end before the check does, so that its line can say what is wrong.
_READ_TIMEOUT: Final = 2.0


async def settings(at: Systems) -> Sequence[Finding]:
    found = well(f"stage {at.settings.stage}, all can be read")
    return [found, *(warning(line, "remove it") for line in ignored_settings())]


async def cors(at: Systems) -> Sequence[Finding]:
    if at.settings.cors_origins or not at.production:
        return []
    detail = "no origin is let in: web apps elsewhere can't call the service"
    return [warning(detail, "list them in IMAGE_SERVICE_CORS_ORIGINS")]


CHECKS: Final = (
    Check("settings", settings),
    Check("cors", cors),
    Check("credentials", table.credentials),
    Check(
        "table",
        table.there,
        then=(
            Check(f"index {USER_INDEX.name}", partial(table.index, USER_INDEX)),
            Check(f"index {ALBUM_INDEX.name}", partial(table.index, ALBUM_INDEX)),
            Check("table ttl", table.ttl),
        ),
    ),
    Check("table read", table.read),
    Check(
        "bucket",
        bucket.there,
        then=(
            Check("bucket access", bucket.access),
            Check("bucket expiry", bucket.expiry),
        ),
    ),
    Check("table write", table.write, writes=True),
    Check("picture", cdn.picture, writes=True),
    Check("clock", bucket.clock),
    Check("jwks", issuer.signing_keys),
    Check("redis", redis.there),
    Check("redis write", redis.write, writes=True),
    Check("cdn", cdn.there),
    Check("cloudfront", cdn.distribution),
    Check("libvips", machine.libvips),
    Check("workers", machine.workers),
    Check("memory", machine.memory),
)


@asynccontextmanager
async def open_systems(settings: Settings) -> AsyncIterator[Systems]:
    """Raises SettingsError where the AWS settings can't work."""
    async with AsyncExitStack() as stack:
        session = aws_session()

        async def client(service: str) -> Any:
            opened = aws_client(session, service, read_timeout=_READ_TIMEOUT)
            try:
                return await stack.enter_async_context(opened)
            except (BotoCoreError, ValueError) as error:
                names = f"AWS_REGION or AWS_ENDPOINT_URL_{service.upper()}"
                raise SettingsError([f"{names} is malformed ({type(error).__name__})"]) from error

        dynamodb, s3 = await client("dynamodb"), await client("s3")
        production = settings.stage == "prod"
        yield Systems(
            settings=settings,
            times=TimeLimits(),
            production=production,
            emulated=not production and not _is_aws(s3.meta.endpoint_url),
            session=session,
            dynamodb=dynamodb,
            s3=s3,
            cloudfront=await client("cloudfront") if settings.cloudfront_distribution_id else None,
            http=await stack.enter_async_context(httpx.AsyncClient()),
        )


def _is_aws(endpoint: str) -> bool:
    return f".{urlsplit(endpoint).hostname}".endswith(_AWS_DOMAINS)
