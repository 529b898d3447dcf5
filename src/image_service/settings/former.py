"""Settings of earlier releases that may still be set."""

from __future__ import annotations

import os

ENV_PREFIX = "IMAGE_SERVICE_"

# Settings of earlier releases, and what is so now. Those of the pictures stop the start where
# they ask for something else: no original is kept from which to make the other picture.
_IGNORED = {
    "REDIS_TIMEOUT": "a call to Redis may take 0.1 s",
    "OUTBOX_POLL": "the outbox is looked at every 5 s, every 30 s while it is empty",
    "PROCESSING_TIMEOUT": "a picture may take 20 s, and PICTURE_CPU_SECONDS of CPU",
    "QUEUE_TIMEOUT": "a picture waits 15 s for its turn",
    "UPLOAD_STALL_TIMEOUT": "an upload may pause for 20 s",
    "UPLOAD_MIN_RATE": "an upload arrives at 8 KiB per second or more",
    "UPLOAD_TIMEOUT": "an upload is complete within 300 s",
    "UPLOAD_DEADLINE": "an upload gets its response within 30 s",
    "DELETE_DEADLINE": "a deletion gets its response within 15 s",
    "REQUEST_DEADLINE": "a request gets its response within 10 s",
    "SHUTDOWN_SECONDS": "running requests have 30 s to finish",
    "MAX_USER_REQUESTS": "a user may have 100 requests in progress",
    "WAITING_DECODE_BYTES": "4 GiB of pictures may wait for each CPU",
}
_FIXED = {
    "MAIN_SIZE": "2048",
    "MAIN_QUALITY": "85",
    "THUMBNAIL_SIZE": "400",
    "THUMBNAIL_QUALITY": "80",
    "WEBP_EFFORT": "2",
}


def refused_settings() -> list[str]:
    """Returns a line for each that asks for what is no longer available."""
    return [
        f"{ENV_PREFIX}{name} is no longer a setting: it is {value}; remove it"
        for name, value in _FIXED.items()
        if _given(name) not in {"", value}
    ]


def ignored_settings() -> list[str]:
    """Returns a line for each that is set and no longer does anything."""
    former = _IGNORED | {name: f"it is {value}" for name, value in _FIXED.items()}
    return [
        f"{ENV_PREFIX}{name} is no longer a setting, and ignored: {now}"
        for name, now in former.items()
        if _given(name)
    ]


def _given(name: str) -> str:
    """Its value in any case, as settings are read; the last one where it is set twice."""
    found = [text for key, text in os.environ.items() if key.upper() == ENV_PREFIX + name]
    return (found or [""])[-1].strip()
