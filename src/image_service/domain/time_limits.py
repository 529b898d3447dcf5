"""Time limits of a request that nobody tunes, in seconds; docs/architecture.md lists them all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TimeLimits:
    """Those that the root hands on; only tests have others."""

    upload_stall_timeout: float = 20.0
    """How long an upload's body may pause."""
    upload_min_rate: float = 8 * 1024
    """Bytes per second at which it must arrive: 10 MiB pass at 300 kbit/s, a poor 3G."""
    upload_timeout: float = 300.0
    """When it must be complete."""

    queue_timeout: float = 15.0
    """How long a picture waits for its turn."""
    processing_timeout: float = 20.0
    """How long its processing may take, once the turn has come."""

    # From the last byte of the request to its response. The first is less than the 60 s for
    # which an Idempotency-Key is held: a late owner could not commit.
    upload_deadline: float = 30.0
    delete_deadline: float = 15.0
    request_deadline: float = 10.0

    shutdown_seconds: int = 30
    """For running requests to finish, once a task no longer takes any."""

    redis_timeout: float = 0.1
    """How long a call to Redis may take."""
    outbox_poll: float = 5.0
    """Between two looks for work in the outbox, with jitter, while there is some; without work
    the wait doubles, up to six times that."""
