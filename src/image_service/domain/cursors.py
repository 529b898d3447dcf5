"""Opaque cursors: a place in a list, and a checksum over it and what the list is of.

The checksum is no secret. It catches a cursor carried over to another list; a forged one
gains nothing, because the store rebuilds its start key from the caller's own id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from image_service.domain.errors import InvalidCursor

_CHECKSUM_BYTES: Final = 8
# Python's decoder would take "+" and "/" beside "-" and "_", and skip what it does not know.
_SPELLING = re.compile(r"[A-Za-z0-9_-]{1,200}")


def seal(place: bytes, list_of: Sequence[Any]) -> str:
    """URL-safe characters for `place`; `list_of` is what can be written as JSON."""
    return _encode(place + _checksum(place, list_of))


def unseal(cursor: str, list_of: Sequence[Any]) -> bytes:
    """The inverse of `seal`. Raises InvalidCursor."""
    if not _SPELLING.fullmatch(cursor):
        raise InvalidCursor
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except binascii.Error:
        raise InvalidCursor from None
    place, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    # The last character has bits to spare: of its spellings one is right.
    if checksum != _checksum(place, list_of) or _encode(raw) != cursor:
        raise InvalidCursor
    return place


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _checksum(place: bytes, list_of: Sequence[Any]) -> bytes:
    canonical = json.dumps(list_of, separators=(",", ":")).encode()
    return hashlib.blake2b(place + canonical, digest_size=_CHECKSUM_BYTES).digest()
