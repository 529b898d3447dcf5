"""How every AWS client is configured."""

from __future__ import annotations

from typing import Final

from aiobotocore.config import AioConfig

CONNECT_TIMEOUT: Final = 1.0  # seconds; within a region a connection takes milliseconds
POOL_CONNECTIONS: Final = 50
ATTEMPTS: Final = 3


def client_config(*, read_timeout: float) -> AioConfig:
    """Standard retries, a pool of 50; `read_timeout` in seconds, 2 to 10 by kind of call.

    The way buckets are addressed is left to botocore: by host name on AWS, by path where
    the endpoint is an IP address, as those of emulators are.
    """
    return AioConfig(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        max_pool_connections=POOL_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
    )
