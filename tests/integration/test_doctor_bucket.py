"""The doctor's findings on the bucket."""

from __future__ import annotations

import pytest
from tests import engines
from tests.integration.doctor_runs import doctor, examined, local_stack, systems
from tests.jwks_server import JwksServer

from image_service.devstack.issuer import LocalIssuer
from image_service.tools.doctor import bucket
from image_service.tools.doctor.findings import Verdict


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    return await local_stack(emulator, issuer, unique)


async def test_missing(environment: dict[str, str]):
    told = await doctor(environment | {"IMAGE_SERVICE_BUCKET": "not-there"}, "--write")

    assert (told.status, told.failed()) == (1, {"bucket", "picture"})
    assert "there is no bucket not-there" in told.lines["bucket"]
    assert "IMAGE_SERVICE_BUCKET" in told.lines["bucket"]
    assert "NoSuchBucket" in told.lines["picture"]


async def test_production_is_strict(environment: dict[str, str], emulator: str):
    environment["IMAGE_SERVICE_STAGE"] = "prod"

    told = await doctor(environment)

    assert told.failed() == {"bucket access"}
    assert told.warned() == {"cors", "cloudfront"}
    await protect(environment, emulator)
    told = await doctor(environment | {"IMAGE_SERVICE_CORS_ORIGINS": "https://a.example"})
    assert (told.status, told.failed()) == (0, set()), told.out
    assert told.warned() == {"cloudfront"}


async def test_a_rule_that_deletes_pictures(environment: dict[str, str], emulator: str):
    name = environment["IMAGE_SERVICE_BUCKET"]
    async with engines.s3_client(emulator) as s3:
        await s3.put_bucket_lifecycle_configuration(
            Bucket=name,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "all",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "Expiration": {"Days": 30},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                    }
                ]
            },
        )
        [told] = await examined(bucket.expiry, systems(aws=s3, bucket=name))

    assert told.verdict is Verdict.FAILED
    assert told.detail == "the lifecycle rule all deletes pictures"


async def test_in_another_region():
    async with JwksServer() as elsewhere:
        elsewhere.body = b""
        elsewhere.headers["x-amz-bucket-region"] = "eu-west-1"
        url = elsewhere.url.removesuffix("/.well-known/jwks.json")
        async with engines.s3_client(url) as client:
            [told] = await examined(bucket.there, systems(aws=client, bucket="pictures"))
    assert told.verdict is Verdict.FAILED
    assert told.detail == "pictures is in eu-west-1, not in us-east-1"


async def protect(environment: dict[str, str], emulator: str) -> None:
    """As terraform/modules/storage does."""
    async with engines.s3_client(emulator) as s3:
        await s3.put_public_access_block(
            Bucket=environment["IMAGE_SERVICE_BUCKET"],
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
