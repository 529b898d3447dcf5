"""The local stack, once a run: emulator, issuer, and the environment that points at them."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from tests import dice, engines, examples, logs, redis_server

from image_service.devstack import stack
from image_service.devstack.emulator import running_emulator
from image_service.devstack.issuer import LocalIssuer
from image_service.telemetry.logging import configure_logging

# A shell ignores it for its background jobs, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """By itself Hypothesis gives an example 200 ms, which is little on a busy machine.

    In the inner loop a few examples do; `make test-proof` tries many.
    """
    settings.register_profile(
        "tests",
        deadline=None,
        derandomize=dice.SAME_EACH_TIME,
        max_examples=int(os.environ.get("IMAGE_SERVICE_TEST_EXAMPLES_EACH", "25")),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failure is read where it is printed; `-v` prints all that was said meanwhile."""
    report = yield
    if item.config.get_verbosity() < 1:
        report.sections = [
            (name, logs.shortened(text))
            for name, text in report.sections
            if not name.startswith("Captured log")  # the same again as on stdout
        ]
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_real_aws() -> Iterator[None]:
    """Nothing in the tests may reach a real account, whatever the shell says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*stack.FOREIGN_AWS_VARIABLES, *_foreign_variables()):
            patch.delenv(name, raising=False)
        for name, value in stack.aws_environment("http://127.0.0.1:9").items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def _clients_are_cheap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What each AWS client reads anew is read once: its models, a quarter of a second of JSON.

    And of the authorities that it may trust one is enough: nothing here speaks TLS to AWS.
    """
    bundle = tmp_path_factory.mktemp("authorities") / "one.pem"
    end = "-----END CERTIFICATE-----\n"
    bundle.write_text(certifi.contents().partition(end)[0] + end)
    loaded = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: loaded(path))
        patch.setenv("AWS_CA_BUNDLE", str(bundle))
        # On loopback only a busy machine takes a second to connect.
        patch.setattr("image_service.adapters.aws.clients.AWS_CONNECT", 60.0)
        yield


_OF_THE_TESTS = ("IMAGE_SERVICE_TEST", "IMAGE_SERVICE_CHAOS", "IMAGE_SERVICE_FUZZ")


def _foreign_variables() -> list[str]:
    return [
        name
        for name in os.environ
        if name.startswith(("IMAGE_SERVICE_", "OTEL_")) and not name.startswith(_OF_THE_TESTS)
    ]


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    configure_logging("info", "json", "test")


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> LocalIssuer:
    return LocalIssuer.load_or_create(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """The endpoint of a fresh emulator."""
    with running_emulator() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with engines.moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    with engines.dynamodb_local() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[str]:
    with engines.seaweedfs() as endpoint:
        yield endpoint


def pytest_report_header() -> list[str]:
    return [redis_server.described(), examples.described()]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that is shared by the run; tests keep apart by users nobody else has."""
    with redis_server.running_redis() as url:
        yield url


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[redis_server.RedisProxy]:
    """Before that Redis, to make it fail."""
    async with redis_server.redis_proxy(redis_url) as running:
        yield running


@pytest.fixture
def unique() -> str:
    """A name nobody else uses: users, tables, tags."""
    return secrets.token_hex(6)


@pytest.fixture
def repository_root() -> Path:
    return Path(__file__).parent.parent
