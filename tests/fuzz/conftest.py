"""Bounds of the fuzzing: IMAGE_SERVICE_FUZZ_SECONDS, and the dice of it."""

from __future__ import annotations

import os

import pytest

# The same service and the same places as the fault tests have.
from tests.chaos.conftest import backends, place  # noqa: F401 - fixtures are used by name
from tests.dice import SEED


@pytest.fixture(scope="session")
def seconds() -> float:
    return float(os.environ.get("IMAGE_SERVICE_FUZZ_SECONDS", "10"))


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED
