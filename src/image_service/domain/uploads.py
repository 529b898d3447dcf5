"""Upload intents and idempotency claims, while an upload is under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from image_service.domain.images import Image

CLAIM_LEASE: Final = timedelta(seconds=60)  # longer than any upload may take
RESPONSE_KEPT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadIntent:
    """Files about to be written, and the image that will own them.

    `created_at` is the very moment in `image_id`, so that the intent of an id can be found.
    """

    image_id: str
    user_id: str
    object_keys: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One request's hold on an idempotency key of a user, until `expires_at`.

    `key` is what the client sent; `fingerprint` distinguishes its content from another's; `owner`
    is drawn for each request.
    """

    user_id: str
    key: str
    fingerprint: str
    owner: str
    claimed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The result of an upload; `replayed` if an earlier request stored it."""

    image: Image
    replayed: bool = False
