"""Other time limits than the service's own, for tests that would else wait for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from image_service.domain.time_limits import TimeLimits

# Before anything has made the limits: what is changed is what a task begins with.
_PROGRAM = """
import sys
from image_service.domain import limits, time_limits

for changed in sys.argv.pop(1).split(","):
    name, _, value = changed.partition("=")
    if name.isupper():
        module = limits if hasattr(limits, name) else time_limits
        setattr(module, name, type(getattr(module, name))(value))
    else:
        time_limits.TimeLimits.__init__.__kwdefaults__[name] = float(value)
sys.argv[0] = "image-service"
from image_service.cli import cli
cli()
"""


def split(changes: Mapping[str, Any]) -> tuple[dict[str, Any], TimeLimits]:
    """Settings, and time limits."""
    names = {field.name for field in fields(TimeLimits)}
    settings = {name: value for name, value in changes.items() if name not in names}
    return settings, TimeLimits(**{n: value for n, value in changes.items() if n in names})


def command(**changes: float) -> list[str]:
    """`image-service`, with other time limits, or what is in capitals there and in `limits`."""
    named = ",".join(f"{name}={value:g}" for name, value in changes.items())
    return [sys.executable, "-c", _PROGRAM, named]
