"""The local stand-in for AWS and Cognito, and the environment that points at it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Final

from image_service.devstack.emulator import Emulator
from image_service.devstack.issuer import LocalIssuer
from image_service.devstack.state import LocalStackError, StateDir
from image_service.devstack.tokens import ADMIN_GROUP, CLIENT_ID, ISSUER, MACHINE, SCOPE_PREFIX

STAGE: Final = "local"
TABLE_NAME: Final = f"ImageMetadata-{STAGE}"
BUCKET: Final = f"images-lego-moc-{STAGE}"
# Where the issuer's keys are fetched from: the emulator, as a public object.
_ISSUER_BUCKET: Final = "image-service-issuer"
# Not under `.well-known`: the emulator takes that for a Cognito path.
_JWKS_KEY: Final = "jwks.json"

_PROVISION_SECONDS: Final = 60

# Whatever the shell says of a real account must not be reached from here.
FOREIGN_AWS_VARIABLES: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID",
)
# What runs here is on loopback, and no proxy's business.
WITHOUT_PROXY: Final = {"NO_PROXY": "*", "no_proxy": "*"}


def local_stack(state: StateDir, emulator: Emulator) -> dict[str, str]:
    """Make table, bucket and issuer, once the emulator responds; returns the environment to set.

    Raises LocalStackError.
    """
    try:
        issuer = LocalIssuer.load_or_create(state.path)
    except ValueError as error:
        raise LocalStackError(str(error)) from error
    endpoint = emulator.endpoint()
    try:
        asyncio.run(asyncio.wait_for(provision(endpoint, issuer), _PROVISION_SECONDS))
    except TimeoutError:
        raise LocalStackError(
            f"the AWS emulator made no table and bucket within {_PROVISION_SECONDS} s; try again"
        ) from None
    return {**aws_environment(endpoint), **service_environment(endpoint)}


def only_local() -> None:
    """Leave what the shell says of a real account out of this process."""
    for name in FOREIGN_AWS_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(WITHOUT_PROXY)


def base_url(host: str, port: int) -> str:
    """Returns where others, phones among them, open what listens on `host`."""
    address = _reachable(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _reachable(host: str) -> str:
    """Returns `host`, or the address that leads out of this machine where it is every one."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - asked for
        return host
    family, loopback, outside = (
        (socket.AF_INET, "127.0.0.1", "192.0.2.1")
        if host == "0.0.0.0"  # noqa: S104
        else (socket.AF_INET6, "::1", "2001:db8::1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as way_out:
        try:
            way_out.connect((outside, 9))  # sends nothing; it only picks the way out
        except OSError:
            return loopback
        return str(way_out.getsockname()[0])


def aws_environment(endpoint: str) -> dict[str, str]:
    """Standard AWS variables; credentials an emulator accepts and AWS never would."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
    }


def service_environment(endpoint: str) -> dict[str, str]:
    """Returns what the service needs to know to run on the emulator at `endpoint`."""
    return {
        "IMAGE_SERVICE_STAGE": STAGE,
        "IMAGE_SERVICE_TABLE_NAME": TABLE_NAME,
        "IMAGE_SERVICE_BUCKET": BUCKET,
        "IMAGE_SERVICE_CDN_BASE_URL": f"{endpoint}/{BUCKET}",
        "IMAGE_SERVICE_COGNITO_ISSUER": ISSUER,
        "IMAGE_SERVICE_COGNITO_CLIENT_IDS": CLIENT_ID,
        "IMAGE_SERVICE_JWKS_URL": f"{endpoint}/{_ISSUER_BUCKET}/{_JWKS_KEY}",
    }


async def provision(
    endpoint: str, issuer: LocalIssuer, *, table_name: str = TABLE_NAME, bucket: str = BUCKET
) -> None:
    """Make table and bucket, and publish the issuer's keys. Safe to repeat."""
    # Takes a second, in which an emulator can start.
    import aioboto3  # noqa: PLC0415

    from image_service.devstack.aws import create_bucket, create_table  # noqa: PLC0415

    session = aioboto3.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - what the emulator takes for one
        region_name="us-east-1",
    )
    async with (
        session.client("dynamodb", endpoint_url=endpoint) as dynamodb,
        session.client("s3", endpoint_url=endpoint) as s3,
    ):
        await create_table(dynamodb, table_name)
        await create_bucket(s3, bucket)
        await create_bucket(s3, _ISSUER_BUCKET)
        await s3.put_object(
            Bucket=_ISSUER_BUCKET,
            Key=_JWKS_KEY,
            Body=json.dumps(issuer.jwks()).encode(),
            ContentType="application/json",
        )


def default_settings(*, on_terminal: bool) -> dict[str, str]:
    """Settings of `dev` that differ from production's, without their prefix."""
    shown = {"LOG_FORMAT": "console", "LOG_LEVEL": "warning"} if on_terminal else {}
    return {
        **shown,
        "CORS_ORIGINS": "http://localhost:*,http://127.0.0.1:*",  # a front end's own server
        "SERVICE_CLIENT_IDS": MACHINE,
        "SERVICE_SCOPE_PREFIX": SCOPE_PREFIX,
        "ADMIN_GROUPS": ADMIN_GROUP,
        "DRAIN_SECONDS": "0",  # no load balancer has to notice that it goes
    }


def welcome(url: str, header: Path, state_dir: Path, default_state_dir: Path) -> str:
    """Returns what `dev` prints once it listens; `header` is a file with the token of a line."""
    command = shlex.join(["curl", "-H", f"@{header}", "-F", "file=@photo.jpg", f"{url}/images"])
    option = "" if state_dir == default_state_dir else f" --state-dir {shlex.quote(str(state_dir))}"
    return f"""
  Docs       {url}/docs
  Pictures   {url}/images/…, kept in {state_dir}
  Token      {sys.argv[0]} token --user USER{option}
  Upload     your photo in place of photo.jpg, then open its imageUrl:

{command}

  Stop with Ctrl-C.

"""
