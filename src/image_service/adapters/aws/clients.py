"""Settings and opening of the AWS clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiobotocore
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from image_service import __version__
from image_service.adapters.aws.errors import outcome_of
from image_service.adapters.aws.shortcuts import (
    parse_plainly,
    resolve_once,
    skip_handlers_of_others,
)
from image_service.domain.time_limits import AWS_CONNECT
from image_service.telemetry.telemetry import Telemetry

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
            skip_handlers_of_others(client)
        yield client


def measure_calls(client: Any, service: str, telemetry: Telemetry) -> None:
    """Measure each call of `client`, retries and waiting included.

    botocore's own events would miss the calls a deadline cuts short. The method replaced
    here is the one all others go through, and what AWS X-Ray and OpenTelemetry wrap, too.
    """
    make_call = client._make_api_call  # noqa: SLF001 - see above

    async def measured(operation: str, parameters: Any) -> Any:
        with telemetry.call(service, operation) as call:
            try:
                response = await make_call(operation, parameters)
            except ClientError as error:
                call.outcome = outcome_of(error)
                call.retries = _retries(error.response)
                raise
            call.retries = _retries(response)
            return response

    client._make_api_call = measured  # noqa: SLF001 - see above


def _retries(response: Any) -> int:
    retries: int = response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    return retries


def _config(service: str, read_timeout: float) -> AioConfig:
    return AioConfig(
        connect_timeout=AWS_CONNECT,
        read_timeout=read_timeout,
        max_pool_connections=POOL_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        # Without a name given here, botocore puts its own together for each call, three times.
        user_agent=_USER_AGENT,
        # DynamoDB checks them, too, at no cost of ours. S3 stays checked: there an empty key
        # would make the deletion of an object one of the bucket.
        parameter_validation=service != "dynamodb",
    )
