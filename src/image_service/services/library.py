"""A user's own images: read, list, edit, delete. Ownership is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from image_service.domain.errors import (
    ImageNotFound,
    ImageServiceError,
    NotAuthorized,
    PreconditionMismatch,
    VersionMismatch,
)
from image_service.domain.images import Deletion, ExpectedVersion, Image, ImageChanges, is_image_id
from image_service.domain.listing import ListQuery, Page
from image_service.domain.times import utc_now
from image_service.ports import ImageLists, ImageRepository
from image_service.services.deletions import DeletionService

log = structlog.stdlib.get_logger(__name__)

# A write that names no version starts over when somebody else was faster.
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """A page and, where a counter knows it, the total."""

    page: Page
    total: int | None


class Library:
    """Every method takes the caller's user id and answers only for that user's images."""

    def __init__(
        self,
        *,
        repository: ImageRepository,
        lists: ImageLists,
        deletions: DeletionService,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._repository = repository
        self._lists = lists
        self._deletions = deletions
        self._now = now

    async def get(self, user_id: str, image_id: str) -> Image:
        """Raises ImageNotFound (also for a malformed id), NotAuthorized."""
        image = await self._repository.get(image_id) if is_image_id(image_id) else None
        if image is None:
            raise ImageNotFound
        if image.user_id != user_id:
            raise NotAuthorized
        return image

    async def list(self, user_id: str, query: ListQuery) -> Listing:
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

        Raises ImageNotFound, NotAuthorized, VersionRequired, VersionMismatch, in that order.
        """
        for _ in range(_TRIES):
            image = await self.get(user_id, image_id)
            expected.require()
            expected.check(image.version)
            edited = image.edited(changes, self._now())
            try:
                await self._repository.update(image, edited)
            except VersionMismatch as stale:
                if not expected.any_version:
                    raise _as_asked(stale, expected) from None
            else:
                return edited
        raise PreconditionMismatch(image.version)

    async def delete(self, user_id: str, image_id: str, expected: ExpectedVersion) -> None:
        """Raises ImageNotFound, NotAuthorized, VersionMismatch. Durable on return."""
        deletion = await self._mark_deleted(user_id, image_id, expected)
        # The deletion is durable: from here on the answer is yes, whatever fails.
        try:
            await self._deletions.finish(deletion)
        except ImageServiceError:
            log.warning("deletion_unfinished", image_id=image_id, exc_info=True)

    async def _mark_deleted(
        self, user_id: str, image_id: str, expected: ExpectedVersion
    ) -> Deletion:
        for _ in range(_TRIES):
            image = await self.get(user_id, image_id)
            expected.check(image.version)
            try:
                return await self._repository.mark_deleted(image, self._now())
            except VersionMismatch:
                continue  # the next turn reads and checks the newer version
        raise VersionMismatch(image.version)


def _as_asked(stale: VersionMismatch, expected: ExpectedVersion) -> VersionMismatch:
    """A race lost after the check is reported as the check would have."""
    if expected.if_match is not None:
        return PreconditionMismatch(stale.current_version)
    return stale
