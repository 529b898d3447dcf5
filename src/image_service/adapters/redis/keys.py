"""Names in Redis.

A user id may hold colons; the fixed ends keep the names apart all the same.
"""

from __future__ import annotations

import hashlib
import json

from image_service.domain.fields import tag_key
from image_service.domain.listing import ListQuery
from image_service.domain.times import format_timestamp


def image(image_id: str) -> str:
    return f"image:{image_id}"


def page(user_id: str, query_hash: str) -> str:
    return f"user:{user_id}:images:page:{query_hash}"


def page_set(user_id: str) -> str:
    return f"user:{user_id}:cache_keys"


def state(user_id: str) -> str:
    """See `scripts`."""
    return f"user:{user_id}:generation"


def counter(user_id: str, kind: str, seconds: int) -> str:
    return f"user:{user_id}:rate:{kind}:{seconds}"


def hash_of(query: ListQuery) -> str:
    """Equal for queries with equal results; 32 hexadecimal digits."""
    start = query.start
    asked = [
        query.limit,
        query.album_id,
        sorted({tag_key(tag) for tag in query.tags}),
        query.uploaded_after and format_timestamp(query.uploaded_after),
        query.uploaded_before and format_timestamp(query.uploaded_before),
        query.order,
        start and [format_timestamp(start.uploaded_at), start.image_id],
    ]
    canonical = json.dumps(asked, separators=(",", ":")).encode()
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()
