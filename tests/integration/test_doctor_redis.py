"""The doctor's findings on Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests import redis_server
from tests.integration.doctor_runs import doctor, examined, local_stack, systems

from image_service.devstack.issuer import LocalIssuer
from image_service.domain.time_limits import TimeLimits
from image_service.tools.doctor import redis as doctoring
from image_service.tools.doctor.findings import Finding, Verdict


@pytest.fixture
async def environment(emulator: str, issuer: LocalIssuer, unique: str) -> dict[str, str]:
    return await local_stack(emulator, issuer, unique)


async def look(url: str, *, within: float = 5) -> Finding:
    at = systems(redis_url=url, times=TimeLimits(redis_timeout=within))
    [told] = await examined(doctoring.there, at)
    return told


async def write(url: str) -> Finding:
    [told] = await examined(doctoring.write, systems(redis_url=url))
    return told


def its_keys(url: str) -> list[bytes]:
    with redis.Redis.from_url(url) as client:
        return list(client.scan_iter("*doctor*"))


async def test_one_that_is_there(environment: dict[str, str], redis_url: str):
    environment["IMAGE_SERVICE_REDIS_URL"] = redis_url

    told = await doctor(environment)

    assert told.status == 0, told.out
    assert "redis" not in told.failed()  # on a busy machine a ping is slow, and warned of
    assert "a ping takes" in told.lines["redis"]
    assert (await look(redis_url, within=5)).verdict is Verdict.OK
    assert "redis write" not in told.lines

    told = await doctor(environment, "--write")
    assert told.lines["redis write"].startswith("✓")
    assert its_keys(redis_url) == []


async def test_a_slow_one(redis_url: str):
    told = await look(redis_url, within=1e-9)
    assert (told.verdict, told.remedy) == (
        Verdict.WARNING,
        "bring it nearer, or give it a larger node",
    )
    assert "calls end after 1e-09 s" in told.detail


@pytest.fixture
def own() -> Iterator[redis_server.OwnRedis]:
    with redis_server.own_redis() as server:
        yield server


def poor(server: redis_server.OwnRedis, *rights: str) -> str:
    """The URL for a user who may do no more."""
    with redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">planted", *rights)
    return f"redis://poor:planted@127.0.0.1:{server.port}"


def make_replica(server: redis_server.OwnRedis) -> None:
    with redis.Redis(port=server.port) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "9")


def restart_in_cluster_mode(server: redis_server.OwnRedis, directory: Path) -> None:
    server.kill()
    options = f"--bind 127.0.0.1 --port {server.port} --dir {directory} --cluster-enabled yes"
    server.process = subprocess.Popen(
        ["redis-server", *options.split(" ")], stdout=subprocess.DEVNULL
    )
    patience = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100)
    with redis.Redis(port=server.port, retry=patience) as client:
        client.ping()


async def test_looking_changes_no_key(own: redis_server.OwnRedis):
    with redis.Redis(port=own.port) as client:
        before = client.info()["rdb_changes_since_last_save"]
        assert (await look(own.url)).verdict is Verdict.OK
        assert client.info()["rdb_changes_since_last_save"] == before


async def test_a_replica(own: redis_server.OwnRedis):
    make_replica(own)
    told = await look(own.url)
    assert told.verdict is Verdict.FAILED
    assert "is a replica" in told.detail

    silent_on_that = poor(own, "~*", "+@all", "-info")
    told = await look(silent_on_that)
    assert (told.verdict, "may be a replica" in told.detail) == (Verdict.WARNING, True)
    told = await write(silent_on_that)
    assert (told.verdict, "ReadOnlyError" in told.detail) == (Verdict.FAILED, True)
    assert told.remedy == "name the primary endpoint in IMAGE_SERVICE_REDIS_URL"


async def test_in_cluster_mode(own: redis_server.OwnRedis, tmp_path: Path):
    restart_in_cluster_mode(own, tmp_path)
    told = await look(own.url)
    assert told.verdict is Verdict.FAILED
    assert told.remedy == "use one node with replicas, cluster mode off"


async def test_a_user_who_may_ping_only(own: redis_server.OwnRedis):
    url = poor(own, "+ping", "+info")
    for told in (await look(url), await write(url)):
        assert told.verdict is Verdict.FAILED
        assert "refuses what the service does (NoPermissionError)" in told.detail
        assert "+@scripting" in (told.remedy or "")


async def test_a_user_with_the_rights_that_are_told(own: redis_server.OwnRedis):
    rights = "+@scripting +@read +@write +time +ping +select +info"
    url = poor(own, "~user:*", "~image:*", *rights.split(" "))
    assert (await look(url)).verdict is Verdict.OK
    assert (await write(url)).verdict is Verdict.OK
    assert its_keys(own.url) == []


async def test_a_user_without_one_command_of_the_scripts(own: redis_server.OwnRedis):
    url = poor(own, "~*", "+@all", "-sadd")
    assert (await look(url)).verdict is Verdict.OK  # it changes nothing, so it can't tell
    assert (await write(url)).verdict is Verdict.FAILED


async def test_one_that_is_full(own: redis_server.OwnRedis):
    with redis.Redis(port=own.port) as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
    told = await write(own.url)
    assert (told.verdict, "OutOfMemoryError" in told.detail) == (Verdict.FAILED, True)
    assert "maxmemory-policy" in (told.remedy or "")


async def test_a_wrong_password(own: redis_server.OwnRedis):
    poor(own, "+@all")
    told = await look(f"redis://poor:planted-wrong@127.0.0.1:{own.port}")
    assert told.detail == f"127.0.0.1:{own.port} refuses the password"
