"""Requests are signed as botocore's own signer signs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import aioboto3
import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from image_service.adapters.aws.clients import aws_client
from image_service.adapters.aws.signing import PostSigner

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)
URLS = st.sampled_from(
    [
        "https://dynamodb.eu-central-1.amazonaws.com/",
        "https://dynamodb.eu-central-1.amazonaws.com",
        "https://dynamodb.eu-central-1.amazonaws.com:443/",
        "https://vpce-1-2.dynamodb.eu-central-1.vpce.amazonaws.com:8443/",
        "http://localhost:80/",
        "http://127.0.0.1:4566/",
        "http://[::1]:8000/",
        "http://localhost/behind a proxy/~x",
    ]
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """One that stands, at its only item."""
    now = [NOW]
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: now[0])
    return now


def request(url: str, body: bytes = b"{}", **headers: str) -> AWSRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = AWSRequest("POST", url, headers=named, data=body)
    made.context.update(payload_signing_enabled=True)
    return made


def signed(signer: type[SigV4Auth], made: AWSRequest, *credentials: Any) -> dict[str, str]:
    key, region, token = credentials
    signer(ReadOnlyCredentials("AKID", key, token), "dynamodb", region).add_auth(made)
    return {name.lower(): value for name, value in made.headers.items()}


@given(
    url=URLS,
    body=st.binary(max_size=200),
    target=TEXT,
    key=TEXT,
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
    token=st.none() | TEXT,
)
def test_the_signature_is_botocores(url, body, target, key, region, token):
    headers = {
        "X_Amz_Target": target,
        "Content_Type": "application/x-amz-json-1.0",
        "User_Agent": "image-service",  # botocore leaves this one out, too, and the next
        "X_Amzn_Trace_Id": "Root=1-67891233-abcdef012345678912345678",
    }
    ours = signed(PostSigner, request(url, body, **headers), key, region, token)
    theirs = signed(SigV4Auth, request(url, body, **headers), key, region, token)
    assert ours == theirs
    assert "x-amz-target" in ours["authorization"]


def test_the_key_of_yesterday_is_not_used_today(clock: list[datetime]):
    url = "https://dynamodb.us-east-1.amazonaws.com/"
    for days in (0, 1, 0):
        clock[0] = NOW + timedelta(days=days)
        ours = signed(PostSigner, request(url), "key", "us-east-1", None)
        assert ours == signed(SigV4Auth, request(url), "key", "us-east-1", None)
        assert clock[0].strftime("/%Y%m%d/") in ours["authorization"]


def test_a_second_try_has_one_signature_and_the_credentials_of_now(clock: list[datetime]):
    made = request("https://dynamodb.us-east-1.amazonaws.com/", X_Amz_Target="DynamoDB.GetItem")
    signed(PostSigner, made, "old key", "us-east-1", "old token")
    clock[0] = NOW + timedelta(seconds=30)
    again = signed(PostSigner, made, "new key", "us-east-1", "new token")
    fresh = request("https://dynamodb.us-east-1.amazonaws.com/", X_Amz_Target="DynamoDB.GetItem")
    assert again == signed(SigV4Auth, fresh, "new key", "us-east-1", "new token")
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
        assert len(made.headers.get_all(name)) == 1


def test_without_credentials_nothing_is_signed():
    made = request("https://dynamodb.us-east-1.amazonaws.com/")
    with pytest.raises(NoCredentialsError):
        PostSigner(None, "dynamodb", "us-east-1").add_auth(made)
    assert "Authorization" not in made.headers


@pytest.mark.parametrize(("service", "ours"), [("dynamodb", True), ("s3", False)])
async def test_clients_of_dynamodb_sign_by_it(service: str, ours: bool):
    session = aioboto3.Session("AKID", "key", region_name="us-east-1")
    async with aws_client(session, service, read_timeout=1) as client:
        signer = await client._request_signer.get_auth("dynamodb", "us-east-1")
    assert isinstance(signer, PostSigner) == ours
