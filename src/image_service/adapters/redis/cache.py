"""Images and pages in Redis; `docs/adr` explains why a slow reader can't undo a write.

Values are JSON of the domain's own types, with a schema version. What doesn't parse, is of
another version, or isn't what was asked for, is no value: Redis is shared, survives
deployments, and may hold anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from pydantic import TypeAdapter

from image_service.adapters.redis import scripts
from image_service.adapters.redis.link import RedisLink
from image_service.domain.errors import DependencyUnavailable, ImageServiceError, OutcomeUnknown
from image_service.domain.fields import tag_key
from image_service.domain.images import Image
from image_service.domain.listing import Listing, ListQuery
from image_service.domain.times import format_timestamp, utc_now
from image_service.telemetry.metrics import CachePart, CacheResult
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger(__name__)

AddPurge = Callable[[str, str, datetime], Awaitable[None]]
"""Has the outbox call `purge` for (user id, image id), from that moment on."""

_IMAGE_LIFE: Final = 60 * 60 * 1000  # milliseconds, as all below
_PAGE_LIFE: Final = 5 * 60 * 1000
_STATE_LIFE: Final = 24 * 60 * 60 * 1000
_FENCE: Final = 5_000  # how far the indexes may lag
_LEASE: Final = 60_000  # longer than any commit takes, its retries included
_MAX_PAGES: Final = 100  # of one user
_MAX_VALUE: Final = 256 * 1024  # bytes; larger ones would hold up everybody else
_MAX_OWED: Final = 1_000
_OWED_AT_ONCE: Final = 50  # some 20 ms; a request pays for them
_TOKEN_BYTES: Final = 16


class RedisImageCache:
    """An `ImageCache`. Falls back on the store whenever Redis does not respond.

    An invalidation that did not get through goes to the outbox, and this task makes up for
    it before it uses the cache again.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        add_purge: AddPurge,
        telemetry: Telemetry,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._link = link
        self._add_purge = add_purge
        self._telemetry = telemetry
        self._now = now
        self._owed: dict[tuple[str, str], None] = {}
        self._settling = False
        self._finishing: set[asyncio.Task[None]] = set()

    async def image(
        self, user_id: str, image_id: str, read: Callable[[], Awaitable[Image | None]]
    ) -> Image | None:
        key = image_key(image_id)
        found = await self._read("image", key, user_id)
        cached = _decode_image(found.entry, image_id) if found.entry else None
        self._count("image", found, hit=cached is not None)
        if cached is not None:
            return cached
        image = await read()
        # The token is the caller's own: under it, only the caller's images may be kept.
        if found.token and image is not None and image.user_id == user_id:
            await self._fill("image", key, user_id, found.token, _encode_image(image))
        return image

    async def listing(
        self, user_id: str, query: ListQuery, read: Callable[[], Awaitable[Listing]]
    ) -> Listing:
        query_hash = _hash_of(query)
        key = page_key(user_id, query_hash)
        found = await self._read("page", key, user_id)
        value = found.entry[_TOKEN_BYTES:] if found.entry else b""
        cached = _decode_listing(value, user_id, query_hash) if value else None
        self._count("page", found, hit=cached is not None)
        if cached is not None:
            return cached
        listing = await read()
        if found.token:
            # A page is good for as long as the token it begins with is the user's current one.
            value = found.token + _encode_listing(listing, user_id, query_hash)
            await self._fill("page", key, user_id, found.token, value)
        return listing

    @asynccontextmanager
    async def writing(self, user_id: str, image_id: str) -> AsyncIterator[None]:
        write = _random()
        leased = await self._invalidate(user_id, image_id, write, _LEASE)
        if not leased:
            # Before the commit, because this task may not live to see the end of it; due
            # when that is certainly past.
            await self._record(user_id, image_id, self._now() + timedelta(milliseconds=_LEASE))
        may_yet_happen = False
        try:
            yield
        except (OutcomeUnknown, asyncio.CancelledError):
            may_yet_happen = True
            raise
        finally:
            # Where the commit may still happen, the lease is left to run out: until then
            # nothing can be filled.
            if not (leased and may_yet_happen):
                finishing = asyncio.create_task(self._finish(user_id, image_id, write))
                self._finishing.add(finishing)  # the loop itself keeps only a weak reference
                finishing.add_done_callback(self._finishing.discard)
                await asyncio.shield(finishing)  # cancelled requests have committed, too

    async def purge(self, user_id: str, image_id: str) -> None:
        await self._run_invalidate(user_id, image_id, _random(), 0)

    async def aclose(self) -> None:
        """Wait until every write that is over has been made known."""
        await asyncio.gather(*self._finishing, return_exceptions=True)

    async def _read(self, part: CachePart, key: str, user_id: str) -> _Found:
        try:
            await self._settle()
            entry, token = await self._link.run(
                scripts.READ, [key, state_key(user_id)], [_random(), part, _FENCE, _STATE_LIFE]
            )
        except DependencyUnavailable:
            return _Found(available=False)
        return _Found(entry, token)

    async def _fill(
        self, part: CachePart, key: str, user_id: str, token: bytes, value: bytes
    ) -> None:
        if len(value) > _MAX_VALUE:
            return
        life = _IMAGE_LIFE if part == "image" else _PAGE_LIFE
        with contextlib.suppress(DependencyUnavailable):
            await self._link.run(
                scripts.FILL,
                [key, state_key(user_id), page_set_key(user_id)],
                [token, value, life, part, _MAX_PAGES, _STATE_LIFE],
            )

    async def _invalidate(self, user_id: str, image_id: str, write: str, lease: int) -> bool:
        """Returns whether it got through."""
        try:
            await self._settle()
            await self._run_invalidate(user_id, image_id, write, lease)
        except DependencyUnavailable:
            return False
        return True

    async def _run_invalidate(self, user_id: str, image_id: str, write: str, lease: int) -> None:
        await self._link.run(
            scripts.INVALIDATE,
            [image_key(image_id), state_key(user_id), page_set_key(user_id)],
            [_random(), write, lease, _FENCE, _STATE_LIFE],
        )

    async def _finish(self, user_id: str, image_id: str, write: str) -> None:
        if await self._invalidate(user_id, image_id, write, 0):
            return
        self._owe(user_id, image_id)
        self._telemetry.cache_invalidations_lost.inc()
        await self._record(user_id, image_id, self._now())

    async def _record(self, user_id: str, image_id: str, due: datetime) -> None:
        try:
            await self._add_purge(user_id, image_id, due)
        except ImageServiceError:
            log.warning("cache_purge_not_recorded", image_id=image_id, exc_info=True)

    def _owe(self, user_id: str, image_id: str) -> None:
        self._owed[user_id, image_id] = None
        if len(self._owed) > _MAX_OWED:  # the outbox has it, too
            del self._owed[next(iter(self._owed))]

    async def _settle(self) -> None:
        """Make up for lost invalidations. Raises DependencyUnavailable while any is left."""
        if not self._owed:
            return
        if self._settling:
            raise DependencyUnavailable
        self._settling = True
        try:
            for _ in range(min(len(self._owed), _OWED_AT_ONCE)):
                await self._settle_one()
        finally:
            self._settling = False
        if self._owed:
            raise DependencyUnavailable

    async def _settle_one(self) -> None:
        # Taken out first: the same one may be owed again while this is under way.
        owed = next(iter(self._owed))
        del self._owed[owed]
        try:
            await self.purge(*owed)
        except BaseException:
            self._owe(*owed)
            raise

    def _count(self, part: CachePart, found: _Found, *, hit: bool) -> None:
        result: CacheResult = "hit" if hit else "miss" if found.available else "unavailable"
        self._telemetry.cache_requests(part, result).inc()


@dataclass(frozen=True, slots=True)
class _Found:
    """What Redis has, and the token under which the key may be filled; None where neither."""

    entry: bytes | None = None
    token: bytes | None = None
    available: bool = True


def _random() -> str:
    return secrets.token_hex(_TOKEN_BYTES // 2)


# A user id may hold colons; the fixed ends keep the names of keys apart all the same.


def image_key(image_id: str) -> str:
    return f"image:{image_id}"


def page_key(user_id: str, query_hash: str) -> str:
    return f"user:{user_id}:images:page:{query_hash}"


def page_set_key(user_id: str) -> str:
    return f"user:{user_id}:cache_keys"


def state_key(user_id: str) -> str:
    """See `scripts`."""
    return f"user:{user_id}:generation"


def _hash_of(query: ListQuery) -> str:
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


# To be raised when a field changes its meaning, or one with a default is added. One without
# needs nothing: entries that lack it no longer parse.
_Schema = Literal[2]


@dataclass(frozen=True, slots=True)
class _ImageEntry:
    schema: _Schema
    image: Image


@dataclass(frozen=True, slots=True)
class _ListingEntry:
    schema: _Schema
    user_id: str
    query: str
    listing: Listing


_IMAGE = TypeAdapter(_ImageEntry)
_LISTING = TypeAdapter(_ListingEntry)


def _encode_image(image: Image) -> bytes:
    return _IMAGE.dump_json(_ImageEntry(2, image))


def _decode_image(value: bytes, image_id: str) -> Image | None:
    try:
        image = _IMAGE.validate_json(value, strict=True).image
        return image if image.id == image_id and _is_usable(image) else None
    except (ValueError, LookupError, ArithmeticError):
        return None


def _encode_listing(listing: Listing, user_id: str, query_hash: str) -> bytes:
    return _LISTING.dump_json(_ListingEntry(2, user_id, query_hash, listing))


def _decode_listing(value: bytes, user_id: str, query_hash: str) -> Listing | None:
    """None, too, where a single image of it is another user's."""
    try:
        entry = _LISTING.validate_json(value, strict=True)
        images = entry.listing.page.images
        asked = (entry.user_id, entry.query) == (user_id, query_hash)
        usable = all(image.user_id == user_id and _is_usable(image) for image in images)
    except (ValueError, LookupError, ArithmeticError):
        return None
    return entry.listing if asked and usable else None


def _is_usable(image: Image) -> bool:
    """Returns whether all that is computed from it can be; raises where it can't."""
    return image.aspect_ratio > 0 and bool(image.thumbnail.key)
