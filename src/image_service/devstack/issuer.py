"""A stand-in for a Cognito user pool: one RSA key, its JWKS, and tokens signed with it.

Signed with `cryptography` alone, so that the verifier's own JWT library is tested against
tokens it did not make.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

TokenUse = Literal["id", "access"]

_KEY_FILE: Final = "issuer-key.pem"


class LocalIssuer:
    """Signs whatever it is asked to; for development and tests only."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key
        self.kid = _thumbprint(_public_members(key))

    @classmethod
    def generate(cls) -> LocalIssuer:
        """An issuer with a new key, kept nowhere."""
        return cls(generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def load_or_create(cls, state_dir: Path) -> LocalIssuer:
        """The issuer kept in `state_dir`, made there at the first call.

        Two processes that come at once end up with the same key. Raises ValueError where
        the file holds no RSA key, OSError where it can't be read or written.
        """
        path = state_dir / _KEY_FILE
        if not path.exists():
            _write_new(path, cls.generate()._pem())  # noqa: SLF001  # its own class
        return cls(_load(path))

    @classmethod
    def load(cls, state_dir: Path) -> LocalIssuer:
        """The issuer kept in `state_dir`. Raises ValueError where none is, OSError as above."""
        try:
            return cls(_load(state_dir / _KEY_FILE))
        except FileNotFoundError:
            raise ValueError(
                f"no local stack has run in {state_dir}; start one: image-service dev"
            ) from None

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        members = _public_members(self._key)
        return {"keys": [{**members, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def token(
        self,
        user: str,
        *,
        issuer: str,
        client_id: str,
        ttl_seconds: int = 3600,
        token_use: TokenUse = "id",  # noqa: S107  # no secret: which kind of token
        groups: Sequence[str] = (),
    ) -> str:
        """A token with the claims of a Cognito one; `user` becomes `sub`, unchecked.

        An ID token carries `at_hash`, as those of the hosted UI do.
        """
        now = int(time.time())
        common = {
            "sub": user,
            **({"cognito:groups": [*groups]} if groups else {}),
            "iss": issuer,
            "origin_jti": str(uuid.uuid4()),
            "event_id": str(uuid.uuid4()),
            "auth_time": now,
            "iat": now,
            "exp": now + ttl_seconds,
        }
        access = {
            **common,
            "token_use": "access",
            "client_id": client_id,
            "scope": "openid",
            "username": user,
            "version": 2,
            "jti": str(uuid.uuid4()),
        }
        if token_use == "access":  # noqa: S105  # no secret
            return self.sign(access)
        return self.sign(
            {
                **common,
                "token_use": "id",
                "aud": client_id,
                "cognito:username": user,
                "jti": str(uuid.uuid4()),
                "at_hash": _at_hash(self.sign(access)),
            }
        )

    def machine_token(
        self, client_id: str, *, issuer: str, scopes: Sequence[str], ttl_seconds: int = 3600
    ) -> str:
        """A client-credentials token, with the claims of a Cognito one."""
        now = int(time.time())
        return self.sign(
            {
                "sub": client_id,
                "token_use": "access",
                "scope": " ".join(scopes),
                "auth_time": now,
                "iss": issuer,
                "exp": now + ttl_seconds,
                "iat": now,
                "version": 2,
                "jti": str(uuid.uuid4()),
                "client_id": client_id,
            }
        )

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Any claims as an RS256 token; `header` adds to the header or overrides it."""
        full_header = {"alg": "RS256", "kid": self.kid, **(header or {})}
        signed = f"{_segment(full_header)}.{_segment(claims)}"
        signature = self._key.sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{_base64url(signature)}"

    def _pem(self) -> bytes:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load(path: Path) -> RSAPrivateKey:
    unusable = f"{path} holds no RSA private key; delete it, and a new one is made"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError) as error:  # TypeError: it asks for a password
        raise ValueError(unusable) from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(unusable)  # noqa: TRY004  # the file is wrong, not a type
    return key


def _write_new(path: Path, data: bytes) -> None:
    """Create `path` whole and with mode 0600, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces: the first one in wins for everybody.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _public_members(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _base64url_integer(numbers.n), "e": _base64url_integer(numbers.e)}


def _thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638, section 3: the hash of the required members, sorted, without white space."""
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _at_hash(access_token: str) -> str:
    """OpenID Connect Core 1.0, section 3.1.3.6: the left half of the hash."""
    return _base64url(hashlib.sha256(access_token.encode()).digest()[:16])


def _segment(members: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(members, separators=(",", ":")).encode())


def _base64url_integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
