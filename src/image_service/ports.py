"""The ports: interfaces to the outside systems, in the words of the domain.

Every adapter keeps these contracts, the fakes of the tests included: one contract suite
a port runs over both. Failures of the outside world arrive as `DependencyUnavailable`,
or, after a write that may have happened, as its subclass `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from image_service.domain.access import Caller, RateLimit
from image_service.domain.images import Deletion, Image
from image_service.domain.listing import Listing, ListQuery, Page
from image_service.domain.outbox import Lease, OutboxEntry, OutboxQueue
from image_service.domain.pictures import ProcessedImage, SourceInfo
from image_service.domain.renditions import RenditionSpec
from image_service.domain.rerenders import Rerender
from image_service.domain.uploads import Claim, UploadIntent
from image_service.domain.usage import AlbumPage, AlbumQuery, Amount


class ImageRepository(Protocol):
    """Images by id, with everything that must change in the same breath.

    Counters, album and tag indexes are part of each write: all of it happens, or none.
    """

    async def get(self, image_id: str) -> Image | None:
        """The image as last committed (strongly consistent); None if absent or deleted."""
        ...

    async def add(
        self, image: Image, *, intent: UploadIntent | None = None, claim: Claim | None = None
    ) -> None:
        """Commit a new image; its `intent` goes, and `claim` becomes its stored response.

        Raises DependencyUnavailable where the id is in use or the intent was withdrawn,
        IdempotencyInProgress where the claim has run out or is another's by now.
        """
        ...

    async def update(self, before: Image, after: Image, *, until: float | None = None) -> None:
        """Replace `before` with `after`, the next version of it.

        What others are in the way of is tried again until then, by the event loop's clock.
        Raises ImageNotFound if it is deleted, VersionMismatch if it is no longer `before`:
        of the same version, too, where only its renditions are others.
        """
        ...

    async def mark_deleted(
        self, image: Image, at: datetime, *, until: float | None = None
    ) -> OutboxEntry:
        """From now on the image is deleted for `get` and all lists; durable on return.

        `until` as for `update`.
        The entry, `OutboxEntry.of` it, is in the outbox, for whoever clears away the rest.
        Raises ImageNotFound if it is deleted already, VersionMismatch if it is no longer
        `image`.
        """
        ...

    async def forget(self, deletion: Deletion) -> None:
        """Drop the image's own record, once the objects are deleted. Safe to repeat.

        The outbox entry stays. Raises DependencyUnavailable for an image that is live.
        """
        ...


class UploadIntents(Protocol):
    """Records of who writes which files. What a dead task left behind is found by its intent."""

    async def announce(self, intent: UploadIntent) -> None:
        """Durable on return. A withdrawn intent can't be announced again."""
        ...

    async def withdraw(self, intent: UploadIntent) -> bool:
        """Returns whether the image has not been committed; if so it never can be from now on.

        The intent itself stays until `forget`: its files are still to be removed. Safe to
        repeat.
        """
        ...

    async def forget(self, intent: UploadIntent) -> None:
        """Drop the intent, once there is no file left. Safe to repeat."""
        ...

    async def exists(self, image_id: str) -> bool:
        """Returns whether an intent of that image is there, withdrawn or not."""
        ...

    def stale(self, before: datetime) -> AsyncIterator[UploadIntent]:
        """All intents up to that moment, a page at a time; not those that can't be read."""
        ...


class Rerenders(Protocol):
    """Holds on images whose renditions are changed: one an image, of one owner."""

    async def begin(self, hold: Rerender) -> bool:
        """Durable on return; False where the image is held already."""
        ...

    async def get(self, image_id: str) -> Rerender | None: ...

    async def take_over(self, hold: Rerender, at: datetime) -> Rerender | None:
        """The hold of a new owner; None where it has ended, or is another's by now."""
        ...

    async def commit(
        self,
        before: Image,
        after: Image,
        hold: Rerender,
        left: Rerender | None,
        *,
        until: float | None = None,
    ) -> None:
        """As `ImageRepository.update`; the hold ends, or becomes what is `left` of it.

        Raises HoldLost where it is another's by now.
        """
        ...

    async def end(
        self, hold: Rerender, following: OutboxEntry | None = None, *, left: Rerender | None = None
    ) -> bool:
        """As for `commit`; `following` is in the outbox. False where it is another's by now."""
        ...

    def stale(self, before: datetime) -> AsyncIterator[Rerender]:
        """All holds since that moment or longer; not those that can't be read."""
        ...


class IdempotencyRecords(Protocol):
    """Responses by the key a user sent with the request; kept for 24 hours."""

    async def claim(self, claim: Claim) -> Image | None:
        """Hold the key for this request; or the image, where one stored it already.

        The image is as first committed, whatever became of it. Raises
        IdempotencyInProgress while another holds the key, IdempotencyKeyReused where it
        was used for other content.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give the key back. Does nothing where it has its response, or is another's."""
        ...


class CachePurges(Protocol):
    """Records of invalidations that a cache missed, to be made up for later."""

    async def add_cache_purge(self, user_id: str, image_id: str, at: datetime) -> None:
        """Have the worker purge what is cached of them, within ten seconds of that moment."""
        ...


class Outbox(CachePurges, Protocol):
    """Work after a commit. Any number of workers may take from it."""

    async def add(self, entry: OutboxEntry) -> None: ...

    async def take(
        self, queue: OutboxQueue, lease: Lease, now: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        """Up to `limit` entries of a queue that are due and free, held by `lease` from now on.

        What a newer release wrote and this one can't read is left to others.
        """
        ...

    async def replace(self, old: Sequence[OutboxEntry], new: OutboxEntry | None) -> bool:
        """Swap up to 90 entries, as taken, for one, or for nothing; all of it, or none.

        False where one of them is removed, or another's by now.
        """
        ...

    async def give_up(self, entry: OutboxEntry) -> bool:
        """Out of the queue, for a person to look at. False as for `replace`."""
        ...

    def dead_letters(self) -> AsyncIterator[OutboxEntry]:
        """Dead letters that can be read."""
        ...

    async def revive(self, entry: OutboxEntry, at: datetime) -> bool:
        """Back into the queue, with its tries forgotten; whether it was a dead letter."""
        ...


class ImageLists(Protocol):
    """A user's images in the order of their upload. Costs what the page costs."""

    async def page(self, user_id: str, query: ListQuery) -> Page:
        """Full unless it is the last; `next_position` is None exactly on the last.

        The exception: after 1,000 entries looked at for a filter, what was found by then
        is returned with a position to go on from.
        """
        ...

    async def count(self, user_id: str, album_id: str | None) -> int:
        """Returns how many images the user, or the album of that user, has."""
        ...


class UsageCounters(Protocol):
    """The usage of a user, as last committed (strongly consistent)."""

    async def total(self, user_id: str) -> Amount:
        """Over all images of the user; zeros where there is none."""
        ...

    async def albums(self, user_id: str, query: AlbumQuery) -> AlbumPage:
        """Those albums of the user that have images. Costs what the page costs."""
        ...


class ImageCache(Protocol):
    """Images and list pages that need not be read from the store again.

    It never fails a request and never puts back what a write removed: where it can't keep
    that, it reads the store. Ownership is for the caller to check, on a hit too.
    """

    async def image(
        self, user_id: str, image_id: str, read: Callable[[], Awaitable[Image | None]]
    ) -> Image | None:
        """The image as cached, else what `read` (consistent) says. Another's is not cached."""
        ...

    async def listing(
        self, user_id: str, query: ListQuery, read: Callable[[], Awaitable[Listing]]
    ) -> Listing:
        """The user's page as cached, else what `read` (which may lag behind writes) says."""
        ...

    def writing(self, user_id: str, image_id: str) -> AbstractAsyncContextManager[None]:
        """Surrounds the commit of a write to the user's image, and nothing else.

        Once it is left, nothing older than the commit is cached; nor is it ever again.
        """
        ...

    async def purge(self, user_id: str, image_id: str) -> None:
        """Make up for an invalidation that was lost. Raises DependencyUnavailable."""
        ...


class ObjectStore(Protocol):
    """Picture files by key. Keys are never written twice."""

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data`; durable on return."""
        ...

    async def delete(self, keys: Sequence[str]) -> bool:
        """Delete at most 1,000, absent ones too; False where an earlier try may yet come."""
        ...

    async def exists(self, key: str) -> bool: ...


class Cdn(Protocol):
    """The cache that browsers load pictures from."""

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        """Invalidate `paths` (as of `CdnUrls.path`); one `reference`, one invalidation.

        Raises CdnBusy where too many are in progress already, CdnRefused where the paths, or
        one of them, will never be taken.
        """
        ...


Spent = Callable[[float], None]


def ignore_spent(_: float) -> None:
    """For who does not care what a picture cost."""


class ImageProcessor(Protocol):
    """Pictures in, WebP out. Never runs a decoder for anything but JPEG, PNG and WebP."""

    async def inspect(self, data: bytes) -> SourceInfo:
        """Read the header only; no pixel is decoded.

        Raises InvalidFileType, InvalidImage, AnimatedImage, InvalidDimensions.
        """
        ...

    async def process(
        self,
        data: bytes,
        source: SourceInfo,
        renditions: Sequence[RenditionSpec],
        spent: Spent = ignore_spent,
    ) -> ProcessedImage:
        """Decode once, make what is `wanted` of `renditions`. `source` is what `inspect` returned.

        `spent` is called once, whatever the outcome, with the seconds of CPU that it cost.

        Cancelled, it returns once the picture is given up and its memory is free.
        Raises InvalidImage for truncated or corrupt data, ImageTooComplex for what takes
        too much time or memory, Overloaded where nothing can be processed at the moment,
        ProcessingFailed otherwise.
        """
        ...


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Caller:
        """Raises TokenInvalid, TokenExpired, or AuthUnavailable where no key is available."""
        ...


class RateLimiter(Protocol):
    async def hit(self, caller: Caller, *, upload: bool) -> RateLimit:
        """Count a request; the tightest of the limits it falls under. Never raises.

        A machine has limits of its own: of its requests together, and of its uploads for each
        user apart. They use up nothing of the users' own.
        """
        ...

    async def charge(self, caller: Caller, uploads: int) -> None:
        """Count that many more uploads, for what one of the caller's has cost. Never raises."""
        ...


class HealthProbe(Protocol):
    """One outside system as `GET /health` names it."""

    name: str

    async def ping(self) -> None:
        """Return if it responds; raise anything if it does not."""
        ...
