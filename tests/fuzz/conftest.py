"""Bounds of the fuzzing: IMAGE_SERVICE_FUZZ_SECONDS, and IMAGE_SERVICE_FUZZ_SEED to repeat it."""

from __future__ import annotations

import os
import random

import pytest

# The same service and the same places as the fault tests have.
from tests.chaos.conftest import backends, place  # noqa: F401 - fixtures are used by name

_NAMES = ("IMAGE_SERVICE_FUZZ_SECONDS", "IMAGE_SERVICE_FUZZ_SEED")


@pytest.fixture(scope="session")
def seconds() -> float:
    return float(os.environ.get(_NAMES[0], "10"))


@pytest.fixture(scope="session")
def seed() -> int:
    return int(os.environ.get(_NAMES[1]) or random.randrange(2**31))
