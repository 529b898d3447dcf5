"""Time limits of a request that nobody tunes, in seconds; docs/architecture.md lists them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The connection
HEAD_SECONDS: Final = 20.0
"""For the line and the headers of a request."""
IDLE_SECONDS: Final = 75
"""For the next request. Longer than the load balancer's 60 s, so that it is never the one to
find a dead connection."""
UNREAD_SECONDS: Final = 20.0
"""How long a response may be left unread."""
LINGER_SECONDS: Final = 2.0
"""For the rest of a body that was refused."""
JSON_STALL: Final = 5.0
"""How long a JSON body may pause: at most 128 KiB, and as a rule 200 bytes."""
JSON_SECONDS: Final = 10.0
"""When it must be complete: one that takes longer is holding a place."""
LIST_WAIT: Final = 5.0
"""How long a list waits for those of the same user, of the 10 s that a request has."""

# What it depends on
KEY_FETCH: Final = 5.0
"""For the token keys. httpx's own limit is per read: a slow drip would never meet it."""
UNKNOWN_KEY_WAIT: Final = 8.0
"""How long one request waits for its key; less than any response may take."""
REDIS_COOLDOWN: Final = 5.0
AWS_CONNECT: Final = 1.0
"""Within a region a connection takes milliseconds."""
AWS_READ: Final[Mapping[str, float]] = {"dynamodb": 3.0, "s3": 10.0, "cloudfront": 10.0}
"""For each of three attempts: small items, whole pictures, a slow control plane."""
TRANSACTION_PATIENCE: Final = 9.0
"""How long a transaction is retried; contention on one user's counter passes well within."""
EDIT_PATIENCE: Final = 6.0
"""How long an edit starts over when another was faster."""
LAST_EDIT_PATIENCE: Final = 9.0
"""Until when the store may try the last one, from the first: less than a request has."""


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
