"""Settings and opening of the AWS clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiobotocore
from aiobotocore.config import AioConfig

from image_service import __version__
from image_service.adapters.aws.shortcuts import parse_plainly, resolve_once
from image_service.adapters.aws.signing import POST_SIGNATURE

CONNECT_TIMEOUT: Final = 1.0  # seconds; within a region a connection takes milliseconds
POOL_CONNECTIONS: Final = 50
ATTEMPTS: Final = 3
_USER_AGENT: Final = f"image-service/{__version__} aiobotocore/{aiobotocore.__version__}"


@asynccontextmanager
async def aws_client(
    session: Any, service: str, *, read_timeout: float, endpoint_url: str | None = None
) -> AsyncIterator[Any]:
    """A client of `service`: standard retries, a pool of 50; closed at the end.

    `read_timeout` in seconds, 2 to 10 by kind of call. The way buckets are addressed is left
    to botocore: by host name on AWS, by path where the endpoint is an IP address, as those of
    emulators are.
    """
    config = _config(service, read_timeout)
    async with session.client(service, endpoint_url=endpoint_url, config=config) as client:
        resolve_once(client)
        if service == "dynamodb":
            parse_plainly(client)
        yield client


def _config(service: str, read_timeout: float) -> AioConfig:
    dynamodb = service == "dynamodb"
    return AioConfig(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        max_pool_connections=POOL_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        # Without a name given here, botocore puts its own together for each call, three times.
        user_agent=_USER_AGENT,
        # DynamoDB checks them, too, at no cost of ours. S3 stays checked: there an empty key
        # would make the deletion of an object one of the bucket.
        parameter_validation=not dynamodb,
        signature_version=POST_SIGNATURE if dynamodb else None,
    )
