"""In-memory stand-ins for the stores, with state that can be looked at.

They keep the contracts of `ports.py`; `tests/contract` runs the same suite over them and
over the real adapters. Set `failure` on any of them to have every call fail with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ulid import ULID

from image_service.domain.errors import (
    DependencyUnavailable,
    ImageNotFound,
    ImageServiceError,
    VersionMismatch,
)
from image_service.domain.images import Deletion, Image
from image_service.domain.listing import ListQuery, Page, Position


@dataclass
class FakeTable:
    """What a repository and its lists share. `images` holds the live ones only.

    `deletions` is what is still to be cleared away, by image id.
    """

    images: dict[str, Image] = field(default_factory=dict)
    deletions: dict[str, Deletion] = field(default_factory=dict)


class FakeImageRepository:
    def __init__(self, table: FakeTable | None = None) -> None:
        self.table = table or FakeTable()
        self.failure: ImageServiceError | None = None

    async def get(self, image_id: str) -> Image | None:
        _raise(self.failure)
        return self.table.images.get(image_id)

    async def add(self, image: Image) -> None:
        _raise(self.failure)
        if image.id in self.table.images or image.id in self.table.deletions:
            raise DependencyUnavailable
        self.table.images[image.id] = image

    async def update(self, before: Image, after: Image) -> None:
        _raise(self.failure)
        self._require_current(before)
        self.table.images[after.id] = after

    async def mark_deleted(self, image: Image, at: datetime) -> Deletion:
        _raise(self.failure)
        self._require_current(image)
        deletion = Deletion(
            image_id=image.id,
            user_id=image.user_id,
            object_keys=image.object_keys,
            entry_id=str(ULID()),
            due_at=at + timedelta(seconds=30),
        )
        del self.table.images[image.id]
        self.table.deletions[image.id] = deletion
        return deletion

    async def forget(self, deletion: Deletion) -> None:
        _raise(self.failure)
        if deletion.image_id in self.table.images:
            raise DependencyUnavailable
        self.table.deletions.pop(deletion.image_id, None)

    def _require_current(self, image: Image) -> None:
        current = self.table.images.get(image.id)
        if current is None or current.user_id != image.user_id:
            raise ImageNotFound
        if current.version != image.version:
            raise VersionMismatch(current.version)


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

    async def delete(self, keys: Sequence[str]) -> None:
        _raise(self.failure or self.delete_failure)
        for key in keys:
            self.objects.pop(key, None)


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
