"""The Idempotency-Key header: what it may be, and what the document says of it."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request

from image_service.api.document import openapi
from image_service.domain.errors import ValidationFailed

MAX_KEY: Final = 255
REPLAYED: Final = "Idempotency-Replayed"

_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")

# Without an example: the docs page would send it as it stands, and the second picture that is
# tried out there would be refused for it.
KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"},
    "description": (
        "A key of your own for this upload, such as a new UUID. Repeat the request with the same "
        "key for up to 24 hours, and the picture is stored once: you get the first response "
        "again. While the first request is still running the response is 409, and 422 if the "
        "key comes with another file or other fields. After a failure the key is free again."
    ),
}
REPLAYED_HEADER: Final = openapi.header(
    REPLAYED,
    "`true` where an earlier request with the same `Idempotency-Key` stored the image.",
    example="true",
    required=False,
)


def idempotency_key(request: Request) -> str | None:
    """Raises ValidationFailed where it is not 1 to 255 visible ASCII characters."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1:
        raise ValidationFailed([("Idempotency-Key", f"came {len(keys)} times; send one")])
    if not _KEY.fullmatch(keys[0]):
        rule = f"must be 1 to {MAX_KEY} visible ASCII characters without spaces"
        raise ValidationFailed([("Idempotency-Key", f"{rule}; got {len(keys[0])} characters")])
    return keys[0]
