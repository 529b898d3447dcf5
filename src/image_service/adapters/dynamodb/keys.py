"""The keys of the one table: what is stored where.

    item         PK                          SK
    image        IMAGE#<id>                  METADATA
    usage        USER#<user>                 USAGE | USAGE#ALBUM#<album>
    tag pointer  TAG#<user>#<tag key>        UPLOADED#<time>#<id>
    intent       INTENT#<shard>              <created>#<image>
    rerender     RERENDER#<shard>            <image>
    idempotency  IDEMPOTENCY#<user>#<hash>   UPLOAD
    outbox       OUTBOX#<shard>              <due time>#<entry>      files to delete
    … CDN        OUTBOX#EDGES#<shard>        <due time>#<entry>      paths to invalidate
    … cache      OUTBOX#CACHE#<shard>        <due time>#<entry>      invalidations it missed
    … dead       OUTBOX#DEAD                 <time>#<entry>

    UserIndex    USER#<user>                 UPLOADED#<time>#<id>
    AlbumIndex   ALBUM#<user>#<album>        UPLOADED#<time>#<id>

User ids hold no `#`, so no two users' keys can meet; times are fixed-width text, so keys
sort by time.
"""

from __future__ import annotations

import hashlib
import zlib
from datetime import datetime
from typing import Final

from image_service.domain.fields import tag_key
from image_service.domain.listing import Position
from image_service.domain.outbox import OutboxQueue
from image_service.domain.times import format_timestamp, parse_timestamp

SHARDS: Final = 4  # of the outbox and of the intents, so that no partition takes all writes
DEAD_LETTERS: Final = "OUTBOX#DEAD"
_QUEUES: Final = {
    OutboxQueue.FILES: "OUTBOX#",
    OutboxQueue.CDN: "OUTBOX#EDGES#",
    OutboxQueue.CACHE: "OUTBOX#CACHE#",
}

_UPLOADED: Final = "UPLOADED#"
_AFTER_ALL_UPLOADED: Final = "UPLOADED$"  # '$' is the character after '#'

Key = dict[str, str]
"""A primary key, `{"PK": …, "SK": …}`."""


def image_key(image_id: str) -> Key:
    return {"PK": f"IMAGE#{image_id}", "SK": "METADATA"}


def image_id_of(partition: str) -> str:
    """The inverse of `image_key`'s PK."""
    return partition.removeprefix("IMAGE#")


def user_usage_key(user_id: str) -> Key:
    return {"PK": user_partition(user_id), "SK": "USAGE"}


def album_usage_key(user_id: str, album_id: str) -> Key:
    return {"PK": user_partition(user_id), "SK": f"USAGE#ALBUM#{album_id}"}


def intent_key(image_id: str, created_at: datetime) -> Key:
    place = f"{format_timestamp(created_at)}#{image_id}"
    return {"PK": intent_partition(_shard(image_id)), "SK": place}


def intent_partition(shard: int) -> str:
    return f"INTENT#{shard}"


def rerender_key(image_id: str) -> Key:
    """The same at any time, so that no image is held twice."""
    return {"PK": rerender_partition(_shard(image_id)), "SK": image_id}


def rerender_partition(shard: int) -> str:
    return f"RERENDER#{shard}"


def idempotency_key(user_id: str, key: str) -> Key:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {"PK": f"IDEMPOTENCY#{user_id}#{digest}", "SK": "UPLOAD"}


def outbox_key(queue: OutboxQueue, route: str, due_at: datetime, entry_id: str) -> Key:
    """`route` chooses the shard; an image's own entry goes by its id."""
    place = f"{format_timestamp(due_at)}#{entry_id}"
    return {"PK": outbox_partition(queue, _shard(route)), "SK": place}


def outbox_partition(queue: OutboxQueue, shard: int) -> str:
    return f"{_QUEUES[queue]}{shard}"


def _shard(route: str) -> int:
    return zlib.crc32(route.encode()) % SHARDS


def user_partition(user_id: str) -> str:
    return f"USER#{user_id}"


def album_partition(user_id: str, album_id: str) -> str:
    return f"ALBUM#{user_id}#{album_id}"


def tag_partition(user_id: str, tag: str) -> str:
    return tag_key_partition(user_id, tag_key(tag))


def tag_key_partition(user_id: str, key: str) -> str:
    return f"TAG#{user_id}#{key}"


def uploaded(position: Position) -> str:
    """The sort key of an image in every list."""
    return f"{_UPLOADED}{format_timestamp(position.uploaded_at)}#{position.image_id}"


def position_of(uploaded_key: str) -> Position:
    """The inverse of `uploaded`."""
    _, uploaded_at, image_id = uploaded_key.split("#")
    return Position(parse_timestamp(uploaded_at), image_id)


def uploaded_range(after: datetime | None, before: datetime | None) -> tuple[str, str]:
    """Bounds for BETWEEN: `after` inclusive, `before` exclusive.

    A bound is the bare time, and every real key has an id behind it, so keys of the lower
    bound's millisecond sort above it, and those of the upper bound's beyond it.
    """
    lower = _UPLOADED if after is None else _UPLOADED + format_timestamp(after)
    upper = _AFTER_ALL_UPLOADED if before is None else _UPLOADED + format_timestamp(before)
    return lower, upper
