"""The audit log: a line for each change with who made it, and for each refused request.

Where the caller is not the user alone, a machine or an administrator, each use of the user's
images has its line, too.

Its lines are written at any level of the rest (`telemetry.logging`). It names images and users,
and never what they wrote, but for the reason that is given for a deletion.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import structlog

from image_service.domain.access import Caller
from image_service.domain.errors import OutcomeUnknown
from image_service.domain.images import Image

LOGGER: Final = "image_service.audit"

log = structlog.stdlib.get_logger(LOGGER)


Action = Literal["upload", "update", "delete", "rerender"]


@contextmanager
def change(action: Action, image: Image, caller: Caller | None, reason: str = "") -> Iterator[None]:
    """Surrounds the commit of a change, and nothing else: `done`, or `unknown`.

    A request that was given up meanwhile has its line, too. What certainly was not committed
    has none. `caller` is None of a command.
    """
    try:
        yield
    except (OutcomeUnknown, asyncio.CancelledError):
        _write_change(action, image, caller, reason, "unknown")
        raise
    _write_change(action, image, caller, reason, "done")


def used(
    action: Literal["upload", "read", "list", "usage"],
    caller: Caller,
    user_id: str,
    image_id: str | None = None,
) -> None:
    """Record that the caller saw what is the user's; of users that look at their own, nothing."""
    if caller.id != user_id:
        log.info(
            "audit",
            action=action,
            user_id=user_id,
            **named(caller),
            image_id=image_id,
            outcome="done",
        )


def refused(action: str, caller: Caller | None, *, image_id: str | None, code: str | None) -> None:
    """Record a request that its caller was not allowed to make."""
    log.info(
        "audit",
        action=action,
        user_id=caller.acting_as if caller else None,
        **named(caller),
        image_id=image_id,
        outcome=code,
    )


def named(caller: Caller | None) -> dict[str, str | None]:
    """Returns the fields for who sent a request, beside the user in whose name it was sent."""
    if caller is None:
        return {"caller": None, "caller_id": None}
    return {"caller": caller.kind.value, "caller_id": caller.id}


def _write_change(
    action: str, image: Image, caller: Caller | None, reason: str, outcome: str
) -> None:
    log.info(
        "audit",
        action=action,
        user_id=image.user_id,
        **named(caller),
        image_id=image.id,
        version=image.version,
        outcome=outcome,
        **({"reason": reason} if reason else {}),
    )
