"""The doctor's findings on the clock, the issuer, Redis and the CDN."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from tests import engines
from tests.integration.doctor_runs import NOBODY, doctor, examined, local_stack, systems
from tests.jwks_server import JwksServer

from image_service.devstack.issuer import LocalIssuer
from image_service.tools.doctor import bucket, cdn
from image_service.tools.doctor import issuer as issuers


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    return await local_stack(emulator, issuer, unique)


@pytest.mark.parametrize(
    ("seconds", "verdict", "word"),
    [
        (150, "failed", "behind"),
        (-150, "failed", "ahead"),
        (30, "warning", "behind"),
        (0, "ok", ""),
    ],
)
async def test_a_clock_that_is_off(seconds: int, verdict: str, word: str):
    async with JwksServer() as s3:
        s3.body = b""
        s3.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))
        url = s3.url.removesuffix("/.well-known/jwks.json")
        async with engines.s3_client(url) as client:
            [told] = await examined(bucket.clock, systems(aws=client))
    assert told.verdict == verdict
    assert word in told.detail
    assert told.remedy is None or "NTP" in told.remedy


async def test_the_command_looks_at_the_clock(environment: dict[str, str]):
    async with JwksServer() as s3:
        s3.body = b""
        s3.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(hours=1))
        url = s3.url.removesuffix("/.well-known/jwks.json")
        told = await doctor(environment | {"AWS_ENDPOINT_URL_S3": url})
    assert "clock" in told.failed()
    assert "NTP" in told.lines["clock"]


async def test_a_jwks_and_a_cdn_that_answer_something_else(
    environment: dict[str, str], issuer: LocalIssuer
):
    [key] = issuer.jwks()["keys"]
    async with JwksServer({"keys": [key | {"alg": "RS512"}]}) as server:
        base_url = f"http://someone:planted-secret@127.0.0.1:{server.port}"
        told = await doctor(
            environment
            | {"IMAGE_SERVICE_JWKS_URL": server.url, "IMAGE_SERVICE_CDN_BASE_URL": base_url}
        )
    assert told.failed() == {"jwks", "cdn"}
    assert "no usable RS256 key" in told.lines["jwks"]
    assert "IMAGE_SERVICE_COGNITO_ISSUER" in told.lines["jwks"]
    assert "responds with 200 for a missing picture" in told.lines["cdn"]
    assert "/images/*.webp goes to the bucket" in told.lines["cdn"]
    assert "planted-secret" not in told.out


async def test_a_cdn_that_is_the_api():
    async with JwksServer() as server, httpx.AsyncClient(trust_env=False) as http:
        server.status = 401
        url = f"http://127.0.0.1:{server.port}"
        [told] = await examined(cdn.there, systems(http=http, cdn_base_url=url))
        assert (told.verdict, "that is the API's response" in told.detail) == ("failed", True)


async def test_a_cdn_on_loopback_may_be_the_browsers():
    async with httpx.AsyncClient(trust_env=False) as http:
        for emulated, verdict in ((True, "warning"), (False, "failed")):
            at = systems(http=http, emulated=emulated, cdn_base_url=NOBODY)
            [told] = await examined(cdn.there, at)
            assert told.verdict == verdict


@pytest.mark.parametrize(("emulated", "verdict"), [(True, "only_aws"), (False, "failed")])
async def test_a_cdn_without_tls(emulated: bool, verdict: str):
    async with JwksServer() as server:
        server.status = 404
        proxy = f"http://127.0.0.1:{server.port}"  # for a name that isn't of this machine
        async with httpx.AsyncClient(proxy=proxy) as http:
            at = systems(http=http, emulated=emulated, cdn_base_url="http://pictures.example")
            [told] = await examined(cdn.there, at)
    assert told.verdict == verdict
    assert "named without TLS" in told.detail


@pytest.mark.parametrize("status", [404, 403])
async def test_a_cdn_without_the_pictures_of_the_bucket(
    environment: dict[str, str], emulator: str, status: int
):
    async with JwksServer() as server:
        server.status = status
        base_url = f"http://127.0.0.1:{server.port}"
        told = await doctor(environment | {"IMAGE_SERVICE_CDN_BASE_URL": base_url}, "--write")

    assert told.failed() == {"picture"}
    assert f"responds with {status} for a picture put into" in told.lines["picture"]
    assert told.lines["cdn"].startswith("✓")  # it can't know
    async with engines.s3_client(emulator) as s3:
        files = await s3.list_objects_v2(Bucket=environment["IMAGE_SERVICE_BUCKET"])
    assert files["KeyCount"] == 0


async def test_a_cdn_with_other_pictures(environment: dict[str, str], emulator: str):
    name = environment["IMAGE_SERVICE_BUCKET"]
    async with (
        JwksServer() as server,
        engines.s3_client(emulator) as s3,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        url = f"http://127.0.0.1:{server.port}"
        at = systems(aws=s3, http=http, bucket=name, cdn_base_url=url)
        [told] = await examined(cdn.picture, at)
    assert (told.verdict, "has something else" in told.detail) == ("failed", True)


async def test_a_role_that_may_put_no_pictures():
    async with JwksServer() as server, httpx.AsyncClient(trust_env=False) as http:
        server.status, server.body = 403, b"<Error><Code>AccessDenied</Code></Error>"
        url = f"http://127.0.0.1:{server.port}"
        async with engines.s3_client(url) as s3:
            at = systems(aws=s3, http=http, cdn_base_url=url)
            [told] = await examined(cdn.picture, at)
    assert told.detail == "the credentials may not s3:PutObject on images/*"


class TestSigningKeys:
    async def test_as_the_service_fetches_them(self, issuer: LocalIssuer):
        async with JwksServer(issuer.jwks()) as server, httpx.AsyncClient(trust_env=False) as http:
            url = server.url.replace("//", "//someone:planted-secret@")
            at = systems(http=http, jwks_url=url)
            place = f"127.0.0.1:{server.port}"

            [told] = await examined(issuers.signing_keys, at)
            assert told.verdict == "ok"
            assert (
                told.detail
                == f"1 RS256 from {place}; that issuer signs with them is taken on trust"
            )

            server.status = 401
            [told] = await examined(issuers.signing_keys, at)
            assert (told.verdict, told.detail) == (
                "failed",
                f"{place} responds with status 401, no JWKS",
            )
            server.status, server.body = 200, server.body + b" " * 2**16
            [told] = await examined(issuers.signing_keys, at)
            assert told.detail == f"{place} responds with more than 65536 bytes, no JWKS"

    async def test_where_the_issuer_has_them(self, issuer: LocalIssuer):
        async with JwksServer(issuer.jwks()) as server, httpx.AsyncClient(trust_env=False) as http:
            own = f"http://127.0.0.1:{server.port}"
            at = systems(http=http, cognito_issuer=own)
            [told] = await examined(issuers.signing_keys, at)
            assert told.detail == f"1 RS256 from 127.0.0.1:{server.port}"

    async def test_of_another_pool(self, environment: dict[str, str]):
        pool = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_OTHER"
        told = await doctor(environment | {"IMAGE_SERVICE_COGNITO_ISSUER": pool})

        assert "jwks" in told.warned()
        assert "not where cognito-idp.us-east-1.amazonaws.com has its own" in told.lines["jwks"]
        assert "unset IMAGE_SERVICE_JWKS_URL" in told.lines["jwks"]


async def test_a_distribution_that_is_not_there(environment: dict[str, str], emulator: str):
    told = await doctor(
        environment
        | {
            "AWS_ENDPOINT_URL_CLOUDFRONT": emulator,
            "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID": "ENOTTHERE",
        }
    )
    assert told.failed() == {"cloudfront"}
    assert "IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID" in told.lines["cloudfront"]


async def test_a_distribution_that_is_there(emulator: str):
    async with engines.cloudfront_client(emulator) as client:
        distribution_id = await engines.create_distribution(client)
        at = systems(aws=client, cloudfront_distribution_id=distribution_id)
        [told] = await examined(cdn.distribution, at)
    assert told.verdict == "ok"


async def test_a_role_that_may_make_invalidations_and_not_look_at_them():
    async with JwksServer() as server:
        server.status = 403
        server.body = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        async with engines.cloudfront_client(f"http://127.0.0.1:{server.port}") as client:
            at = systems(aws=client, cloudfront_distribution_id="ESOME")
            [told] = await examined(cdn.distribution, at)
    assert told.verdict == "warning"
    assert told.detail == "not looked at: the credentials may not cloudfront:GetInvalidation"
