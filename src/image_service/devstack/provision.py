"""The set-up step of docker-compose: table, bucket and issuer on an emulator that runs already.

`python -m image_service.devstack.provision` reads the endpoint and the names from the
service's own environment, so that both mean the same ones. Safe to repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from image_service.devstack.issuer import LocalIssuer
from image_service.devstack.stack import BUCKET, TABLE_NAME, provision


def endpoint_of(environment: Mapping[str, str]) -> str:
    """The one emulator that S3 and DynamoDB share. Raises ValueError where there is none."""
    general = environment.get("AWS_ENDPOINT_URL", "")
    s3 = environment.get("AWS_ENDPOINT_URL_S3", general)
    dynamodb = environment.get("AWS_ENDPOINT_URL_DYNAMODB", general)
    if not s3 or s3 != dynamodb:
        raise ValueError(
            "AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL_DYNAMODB must name the emulator, "
            f"and the same one; they are {s3 or None!r} and {dynamodb or None!r}"
        )
    return s3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m image_service.devstack.provision")
    parser.add_argument("--state-dir", type=Path, default=Path(".image-service"))
    state_dir = parser.parse_args().state_dir
    try:
        endpoint = endpoint_of(os.environ)
        issuer = LocalIssuer.load_or_create(state_dir)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    table = os.environ.get("IMAGE_SERVICE_TABLE_NAME", TABLE_NAME)
    bucket = os.environ.get("IMAGE_SERVICE_BUCKET", BUCKET)
    asyncio.run(provision(endpoint, issuer, table_name=table, bucket=bucket))
    print(f"{endpoint} has table {table}, bucket {bucket} and the issuer's keys")  # noqa: T201 # what it is run for


if __name__ == "__main__":
    main()
