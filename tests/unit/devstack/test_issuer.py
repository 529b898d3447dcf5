from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jwt

from image_service.devstack.issuer import LocalIssuer

ISSUER = "http://127.0.0.1:8000/pool"
POOL = LocalIssuer.generate()


def decoded(token: str, issuer: LocalIssuer = POOL) -> dict[str, Any]:
    return jwt.decode(
        token,
        issuer.jwks(),
        algorithms=["RS256"],
        issuer=ISSUER,
        options={"verify_at_hash": False, "verify_aud": False},
    )


def test_an_id_token_has_the_claims_of_a_cognito_one() -> None:
    claims = decoded(POOL.token("alice", issuer=ISSUER, client_id="web", ttl_seconds=60))
    assert {
        "sub", "aud", "iss", "token_use", "auth_time", "iat", "exp", "jti", "origin_jti",
        "event_id", "cognito:username", "at_hash",
    } == set(claims)  # fmt: skip
    assert (claims["sub"], claims["aud"], claims["token_use"]) == ("alice", "web", "id")
    assert claims["exp"] - claims["iat"] == 60
    assert len(base64.urlsafe_b64decode(claims["at_hash"] + "==")) == 16


def test_an_access_token_names_its_client_otherwise() -> None:
    claims = decoded(POOL.token("alice", issuer=ISSUER, client_id="web", token_use="access"))
    assert (claims["client_id"], claims["token_use"]) == ("web", "access")
    assert {"aud", "at_hash"}.isdisjoint(claims)


def test_tokens_name_their_key() -> None:
    header = jwt.get_unverified_header(POOL.token("alice", issuer=ISSUER, client_id="web"))
    assert header == {"alg": "RS256", "kid": POOL.kid}
    [key] = POOL.jwks()["keys"]
    assert (key["kid"], key["kty"], key["use"], key["alg"]) == (POOL.kid, "RSA", "sig", "RS256")
    assert set(key) == {"kid", "kty", "use", "alg", "n", "e"}  # and no private part


def test_the_key_id_is_the_thumbprint() -> None:
    [key] = POOL.jwks()["keys"]
    canonical = f'{{"e":"{key["e"]}","kty":"RSA","n":"{key["n"]}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    assert base64.urlsafe_b64decode(POOL.kid + "=") == digest


def test_the_key_is_kept(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    first = LocalIssuer.load_or_create(state)
    again = LocalIssuer.load_or_create(state)
    assert first.jwks() == again.jwks()
    assert decoded(first.token("a", issuer=ISSUER, client_id="c"), again)["sub"] == "a"


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LocalIssuer.load_or_create(tmp_path)
    finally:
        os.umask(before)
    [file] = tmp_path.iterdir()  # and no draft is left beside it
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_all_who_come_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        issuers = list(pool.map(LocalIssuer.load_or_create, [tmp_path] * 8))
    assert len({issuer.kid for issuer in issuers}) == 1
    assert len(list(tmp_path.iterdir())) == 1


def _elliptic_key() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("content", [b"", b"garbage", _elliptic_key()])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    LocalIssuer.load_or_create(tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"issuer-key\.pem holds no RSA private key"):
        LocalIssuer.load_or_create(tmp_path)


def test_signs_whatever_it_is_asked_to() -> None:
    token = POOL.sign({"sub": "../x"}, {"alg": "none", "crit": ["b64"]})
    head, body, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "none"
    assert json.loads(base64.urlsafe_b64decode(body + "==")) == {"sub": "../x"}
