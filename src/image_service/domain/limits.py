"""Limits of pictures and users; settings can change all but the last."""

from __future__ import annotations

from typing import Final

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MIN_SIDE: Final = 100
MAX_SIDE: Final = 8000
PICTURE_CPU_SECONDS: Final = 8
REQUEST_RATE: Final = "1000/second"
UPLOAD_RATE: Final = "100/minute"
MACHINE_REQUEST_RATE: Final = "1000/second"
USER_SHARE: Final = 0.5
"""The largest share of uploads, their bytes and the waiting pictures that one user gets."""

USER_REQUESTS: Final = 100
"""Requests of one user in progress at once; those without a token count as one user's."""
