"""The audit log: a line for each change with who made it, and for each refused request.

Its lines are written at any level of the rest (`telemetry.logging`). It names images and users,
and never what they wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import structlog

from image_service.domain.errors import OutcomeUnknown
from image_service.domain.images import Image

LOGGER: Final = "image_service.audit"

log = structlog.stdlib.get_logger(LOGGER)


Action = Literal["upload", "update", "delete", "rerender"]


@contextmanager
def change(action: Action, image: Image) -> Iterator[None]:
    """Surrounds the commit of a change, and nothing else: `done`, or `unknown`.

    A request that was given up meanwhile has its line, too. What certainly was not committed
    has none.
    """
    try:
        yield
    except (OutcomeUnknown, asyncio.CancelledError):
        _write_change(action, image, "unknown")
        raise
    _write_change(action, image, "done")


def refused(action: str, *, user_id: str | None, image_id: str | None, code: str | None) -> None:
    """Record a request that its caller was not allowed to make."""
    log.info("audit", action=action, user_id=user_id, image_id=image_id, outcome=code)


def _write_change(action: str, image: Image, outcome: str) -> None:
    log.info(
        "audit",
        action=action,
        user_id=image.user_id,
        image_id=image.id,
        version=image.version,
        outcome=outcome,
    )
