"""A user's own images: read, list, edit, delete. Ownership is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from image_service.domain.errors import (
    DependencyUnavailable,
    ImageNotFound,
    NotAuthorized,
    VersionMismatch,
)
from image_service.domain.images import ExpectedVersion, Image, ImageChanges, is_image_id
from image_service.domain.listing import Listing, ListQuery
from image_service.domain.outbox import OutboxEntry
from image_service.domain.times import utc_now
from image_service.ports import ImageCache, ImageLists, ImageRepository
from image_service.services.deletions import DeletionService

# A write starts over when somebody else was faster; past these, the caller is to try later.
_TRIES = 10


class Library:
    """Every method takes the caller's user id and answers only for that user's images."""

    def __init__(
        self,
        *,
        repository: ImageRepository,
        lists: ImageLists,
        cache: ImageCache,
        deletions: DeletionService,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._repository = repository
        self._lists = lists
        self._cache = cache
        self._deletions = deletions
        self._now = now

    async def get(self, user_id: str, image_id: str) -> Image:
        """Raises ImageNotFound (also for a malformed id), NotAuthorized."""
        if not is_image_id(image_id):
            raise ImageNotFound
        image = await self._cache.image(user_id, image_id, lambda: self._repository.get(image_id))
        return _owned(image, user_id)

    async def list(self, user_id: str, query: ListQuery) -> Listing:
        return await self._cache.listing(user_id, query, lambda: self._read_page(user_id, query))

    async def _read_page(self, user_id: str, query: ListQuery) -> Listing:
        if not query.countable:
            return Listing(await self._lists.page(user_id, query), None)
        page, total = await asyncio.gather(
            self._lists.page(user_id, query), self._lists.count(user_id, query.album_id)
        )
        return Listing(page, total)

    async def update(
        self, user_id: str, image_id: str, changes: ImageChanges, expected: ExpectedVersion
    ) -> Image:
        """Apply `changes` as the next version.

        Raises ImageNotFound, NotAuthorized, VersionRequired, VersionMismatch, in that order;
        DependencyUnavailable where others were faster again and again.
        """
        for _ in range(_TRIES):
            image = await self._stored(user_id, image_id)
            expected.require()
            expected.check(image.version)
            edited = image.edited(changes, self._now())
            try:
                async with self._cache.writing(user_id, image_id):
                    await self._repository.update(image, edited)
            except VersionMismatch:
                continue  # the next turn reads and checks the newer version
            else:
                return edited
        raise DependencyUnavailable

    async def delete(self, user_id: str, image_id: str, expected: ExpectedVersion) -> None:
        """Raises as `update` does. Durable on return."""
        entry = await self._mark_deleted(user_id, image_id, expected)
        # The deletion is durable: from here on the answer is yes, whatever fails.
        self._deletions.begin(entry)

    async def _mark_deleted(
        self, user_id: str, image_id: str, expected: ExpectedVersion
    ) -> OutboxEntry:
        for _ in range(_TRIES):
            image = await self._stored(user_id, image_id)
            expected.check(image.version)
            try:
                async with self._cache.writing(user_id, image_id):
                    return await self._repository.mark_deleted(image, self._now())
            except VersionMismatch:
                continue  # the next turn reads and checks the newer version
        raise DependencyUnavailable

    async def _stored(self, user_id: str, image_id: str) -> Image:
        """As `get`, past the cache: what is about to be changed is read from the store."""
        image = await self._repository.get(image_id) if is_image_id(image_id) else None
        return _owned(image, user_id)


def _owned(image: Image | None, user_id: str) -> Image:
    if image is None:
        raise ImageNotFound
    if image.user_id != user_id:
        raise NotAuthorized
    return image
