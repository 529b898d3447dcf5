"""TLS, and where the password of Redis may not turn up."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.redis_server import redis_proxy

from image_service.adapters.redis import RedisHealth, RedisWindows, open_redis
from image_service.domain.errors import DependencyUnavailable

WINDOW = [("requests", 10, 60)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For 127.0.0.1, signed by itself; the key is in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "redis.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_is_spoken_and_the_certificate_checked(
    redis_url: str, certificate: Path, unique: str
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with redis_proxy(redis_url, tls=tls) as proxy:
        secure = f"rediss://127.0.0.1:{proxy.port}"
        async with open_redis(f"{secure}?ssl_ca_certs={certificate}", within=10) as link:
            [(count, _)] = await RedisWindows(link).hit(unique, WINDOW)
            assert count == 1
            await RedisHealth(link).ping()
        for url in (secure, proxy.own_url):  # an unknown signer; no TLS at all
            async with open_redis(url, within=0.3) as link:
                with pytest.raises(DependencyUnavailable):
                    await RedisWindows(link).hit(unique, WINDOW)


async def test_certificates_are_loaded_once_for_all_connections(
    redis_url: str, certificate: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    loaded = []
    real = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: loaded.append(1) or real())
    async with redis_proxy(redis_url, tls=tls) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={certificate}"
        async with open_redis(url, within=10) as link:
            windows = RedisWindows(link)
            counts = await asyncio.gather(*(windows.hit(unique, WINDOW) for _ in range(8)))
        assert sorted(count for [(count, _)] in counts) == list(range(1, 9))
        assert proxy.connections > 1
    assert len(loaded) == 1


async def test_the_password_is_in_no_log_repr_or_error(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = redis_url.replace("redis://", "redis://someone:s3cret@")
    shown = []
    async with open_redis(url) as link:
        for _ in range(10):
            with pytest.raises(DependencyUnavailable) as raised:
                await RedisWindows(link).hit("alice", WINDOW)
            shown += [repr(raised.value), str(raised.value), repr(raised.value.__cause__)]
        shown += [repr(link), str(vars(link)), repr(RedisWindows(link))]
    assert "system_left_alone" in caplog.text
    assert "s3cret" not in caplog.text + "".join(shown)
