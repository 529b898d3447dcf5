"""In-memory stand-ins for the stores, with state that can be looked at.

They keep the contracts of `ports.py`; `tests/contract` runs the same suite over them and
over the real adapters. Set `failure` on any of them to have every call fail with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from image_service.domain.errors import (
    DependencyUnavailable,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ImageNotFound,
    ImageServiceError,
    VersionMismatch,
)
from image_service.domain.images import Deletion, Image
from image_service.domain.listing import ListQuery, Page, Position
from image_service.domain.outbox import CachePurge, Lease, OutboxEntry, OutboxQueue
from image_service.domain.times import utc_now
from image_service.domain.uploads import RESPONSE_KEPT, Claim, UploadIntent
from image_service.domain.usage import AlbumAmount, AlbumPage, AlbumQuery, Amount


@dataclass
class FakeTable:
    """What the fakes of one table share. `images` holds the live ones only.

    `deletions` is what is still to be cleared away, by image id; `intents` too, and those
    of `withdrawn` can't be committed any more.
    """

    images: dict[str, Image] = field(default_factory=dict)
    deletions: dict[str, Deletion] = field(default_factory=dict)
    intents: dict[str, UploadIntent] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    answers: dict[tuple[str, str], tuple[Claim, Image | None]] = field(default_factory=dict)
    outbox: dict[str, OutboxEntry] = field(default_factory=dict)
    dead_letters: dict[str, OutboxEntry] = field(default_factory=dict)
    now: Callable[[], datetime] = utc_now


class FakeImageRepository:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def get(self, image_id: str) -> Image | None:
        _raise(self.failure)
        return self.table.images.get(image_id)

    async def add(
        self, image: Image, *, intent: UploadIntent | None = None, claim: Claim | None = None
    ) -> None:
        _raise(self.failure)
        table = self.table
        if image.id in table.images or image.id in table.deletions:
            raise DependencyUnavailable
        if intent and (intent.image_id not in table.intents or intent.image_id in table.withdrawn):
            raise DependencyUnavailable
        if claim:
            held, answer = table.answers.get((claim.user_id, claim.key), (None, None))
            if held != claim or answer is not None or claim.expires_at <= table.now():
                raise IdempotencyInProgress(retry_after=1)
            table.answers[claim.user_id, claim.key] = (claim, image)
        if intent:
            del table.intents[intent.image_id]
        table.images[image.id] = image

    async def update(self, before: Image, after: Image, *, until: float | None = None) -> None:
        _raise(self.failure)
        self._require_current(before)
        self.table.images[after.id] = after

    async def mark_deleted(
        self, image: Image, at: datetime, *, until: float | None = None
    ) -> OutboxEntry:
        _raise(self.failure)
        self._require_current(image)
        entry = OutboxEntry.of(image, at)
        del self.table.images[image.id]
        self.table.deletions[image.id] = Deletion.of(image)
        self.table.outbox[entry.id] = entry
        return entry

    async def forget(self, deletion: Deletion) -> None:
        _raise(self.failure)
        if deletion.image_id in self.table.images:
            raise DependencyUnavailable
        self.table.deletions.pop(deletion.image_id, None)

    def _require_current(self, image: Image) -> None:
        current = self.table.images.get(image.id)
        if current is None or current.user_id != image.user_id:
            raise ImageNotFound
        if (current.version, current.revision) != (image.version, image.revision):
            raise VersionMismatch(current.version)


class FakeUploadIntents:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def announce(self, intent: UploadIntent) -> None:
        _raise(self.failure)
        if intent.image_id not in self.table.withdrawn:
            self.table.intents[intent.image_id] = intent

    async def withdraw(self, intent: UploadIntent) -> bool:
        _raise(self.failure)
        if intent.image_id in self.table.images or intent.image_id in self.table.deletions:
            self.table.intents.pop(intent.image_id, None)
        if intent.image_id not in self.table.intents:
            return False
        self.table.withdrawn.add(intent.image_id)
        return True

    async def forget(self, intent: UploadIntent) -> None:
        _raise(self.failure)
        self.table.intents.pop(intent.image_id, None)
        self.table.withdrawn.discard(intent.image_id)

    async def exists(self, image_id: str) -> bool:
        _raise(self.failure)
        return image_id in self.table.intents

    async def stale(self, before: datetime) -> AsyncIterator[UploadIntent]:
        _raise(self.failure)
        for intent in list(self.table.intents.values()):
            if intent.created_at <= before:
                yield intent


class FakeIdempotencyRecords:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def claim(self, claim: Claim) -> Image | None:
        _raise(self.failure)
        held, answer = self.table.answers.get((claim.user_id, claim.key), (None, None))
        if held is None or held.claimed_at + RESPONSE_KEPT <= claim.claimed_at:
            held = None
        elif held.owner != claim.owner and (answer or held.expires_at > claim.claimed_at):
            if held.fingerprint != claim.fingerprint:
                raise IdempotencyKeyReused
            if answer is not None:
                return answer
            raise IdempotencyInProgress(retry_after=1)
        self.table.answers[claim.user_id, claim.key] = (claim, None)
        return None

    async def release(self, claim: Claim) -> None:
        _raise(self.failure)
        if self.table.answers.get((claim.user_id, claim.key)) == (claim, None):
            del self.table.answers[claim.user_id, claim.key]


class FakeOutbox:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def add(self, entry: OutboxEntry) -> None:
        _raise(self.failure)
        self.table.outbox[entry.id] = entry

    async def add_cache_purge(self, user_id: str, image_id: str, at: datetime) -> None:
        note = OutboxEntry.note(user_id, image_id, at)
        held = self.table.outbox.get(note.id)
        if held is not None and isinstance(held.work, CachePurge):
            note = replace(note, work=CachePurge(user_id, held.work.image_ids | {image_id}))
        await self.add(note)

    async def take(
        self, queue: OutboxQueue, lease: Lease, now: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        _raise(self.failure)
        due = [
            entry
            for entry in self.table.outbox.values()
            if entry.queue is queue
            and entry.due_at <= now
            and (entry.lease is None or entry.lease.until <= now)
        ]
        taken = [replace(entry, lease=lease) for entry in due[:limit]]
        self.table.outbox |= {entry.id: entry for entry in taken}
        return taken

    async def replace(self, old: Sequence[OutboxEntry], new: OutboxEntry | None) -> bool:
        _raise(self.failure)
        if not all(self._mine(entry) for entry in old):
            return False
        for entry in old:
            del self.table.outbox[entry.id]
        if new is not None:
            self.table.outbox[new.id] = new
        return True

    async def give_up(self, entry: OutboxEntry) -> bool:
        if not await self.replace([entry], None):
            return False
        self.table.dead_letters[entry.id] = replace(entry, lease=None)
        return True

    async def dead_letters(self) -> AsyncIterator[OutboxEntry]:
        _raise(self.failure)
        for entry in list(self.table.dead_letters.values()):
            yield entry

    async def revive(self, entry: OutboxEntry, at: datetime) -> bool:
        _raise(self.failure)
        if self.table.dead_letters.pop(entry.id, None) is None:
            return False
        self.table.outbox[entry.id] = replace(entry, due_at=at, tries=0)
        return True

    def _mine(self, entry: OutboxEntry) -> bool:
        held = self.table.outbox.get(entry.id)
        if held is None or held.due_at != entry.due_at:
            return False
        return (held.lease and held.lease.owner) == (entry.lease and entry.lease.owner)


class FakeImageLists:
    def __init__(self, table: FakeTable | None = None, *, look_bound: int = 1_000) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None
        self._look_bound = look_bound

    async def page(self, user_id: str, query: ListQuery) -> Page:
        _raise(self.failure)
        found: list[Image] = []
        looked_at: Image | None = None
        for looked, image in enumerate(self._candidates(user_id, query)):
            if looked == self._look_bound and looked_at is not None:
                return Page(tuple(found[: query.limit]), _position(looked_at))
            looked_at = image
            if query.matches(image):
                found.append(image)
            if len(found) > query.limit:
                return Page(tuple(found[:-1]), _position(found[-2]))
        return Page(tuple(found), None)

    async def count(self, user_id: str, album_id: str | None) -> int:
        _raise(self.failure)
        return sum(
            image.user_id == user_id and album_id in {None, image.album_id}
            for image in self.table.images.values()
        )

    def _candidates(self, user_id: str, query: ListQuery) -> Iterator[Image]:
        """What the store would read on through: one list, from the start position."""
        # As in the store: the first tag's list, or the album's, or all of the user's.
        walked = ListQuery(
            album_id=None if query.tags else query.album_id,
            tags=query.tags[:1],
            uploaded_after=query.uploaded_after,
            uploaded_before=query.uploaded_before,
        )
        start = (query.start.uploaded_at, query.start.image_id) if query.start else None
        descending = query.order == "desc"
        for image in sorted(self.table.images.values(), key=_place, reverse=descending):
            passed = start is None or (
                _place(image) < start if descending else _place(image) > start
            )
            if image.user_id == user_id and passed and walked.matches(image):
                yield image


class FakeUsageCounters:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def total(self, user_id: str) -> Amount:
        _raise(self.failure)
        return _amount(self._images(user_id))

    async def albums(self, user_id: str, query: AlbumQuery) -> AlbumPage:
        _raise(self.failure)
        images = self._images(user_id)
        ids = sorted({image.album_id for image in images if image.album_id})
        following = [album_id for album_id in ids if album_id > (query.after or "")]
        found = [
            AlbumAmount(album_id, _amount([one for one in images if one.album_id == album_id]))
            for album_id in following[: query.limit]
        ]
        return AlbumPage(found, more=len(following) > query.limit)

    def _images(self, user_id: str) -> list[Image]:
        return [image for image in self.table.images.values() if image.user_id == user_id]


def _amount(images: Sequence[Image]) -> Amount:
    return Amount(len(images), sum(image.stored_bytes for image in images))


def _place(image: Image) -> tuple[datetime, str]:
    return image.uploaded_at, image.id


def _position(image: Image) -> Position:
    return Position(image.uploaded_at, image.id)


@dataclass(frozen=True)
class StoredObject:
    data: bytes
    content_type: str


class FakeObjectStore:
    """`put_failure` and `delete_failure` fail one kind of call; `failure` fails both."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.failure: ImageServiceError | None = None
        self.put_failure: ImageServiceError | None = None
        self.delete_failure: ImageServiceError | None = None

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        _raise(self.failure or self.put_failure)
        self.objects[key] = StoredObject(data, content_type)

    async def delete(self, keys: Sequence[str]) -> bool:
        _raise(self.failure or self.delete_failure)
        for key in keys:
            self.objects.pop(key, None)
        return True

    async def exists(self, key: str) -> bool:
        _raise(self.failure)
        return key in self.objects


@dataclass(frozen=True)
class Invalidation:
    paths: tuple[str, ...]
    reference: str


class FakeCdn:
    """`invalidations` holds one entry a reference, as the real one purges once for each."""

    def __init__(self) -> None:
        self.invalidations: list[Invalidation] = []
        self.failure: ImageServiceError | None = None

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        _raise(self.failure)
        wanted = Invalidation(tuple(paths), reference)
        if paths and wanted not in self.invalidations:
            self.invalidations.append(wanted)


def _raise(failure: ImageServiceError | None) -> None:
    if failure is not None:
        raise failure
