"""Images: read, list, edit, delete, each as far as the caller may."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from image_service.domain.access import Action, Caller, permit
from image_service.domain.errors import (
    Contended,
    ImageNotFound,
    VersionMismatch,
)
from image_service.domain.images import ExpectedVersion, Image, ImageChanges, is_image_id
from image_service.domain.listing import Listing, ListQuery
from image_service.domain.outbox import OutboxEntry
from image_service.domain.time_limits import EDIT_PATIENCE, LAST_EDIT_PATIENCE
from image_service.domain.times import utc_now
from image_service.ports import ImageCache, ImageLists, ImageRepository
from image_service.services.deletions import DeletionService
from image_service.telemetry import audit_log

T = TypeVar("T")

_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5


class Library:
    """Images for a caller, each method as far as `domain.access` lets it."""

    def __init__(
        self,
        *,
        repository: ImageRepository,
        lists: ImageLists,
        cache: ImageCache,
        deletions: DeletionService,
        now: Callable[[], datetime] = utc_now,
        patience: float = EDIT_PATIENCE,
    ) -> None:
        self._patience = patience
        self._repository = repository
        self._lists = lists
        self._cache = cache
        self._deletions = deletions
        self._now = now
        # A turn lives as long as a request has it or waits for it.
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def get(self, caller: Caller, image_id: str) -> Image:
        """Raises ImageNotFound (also for a malformed id), ScopeMissing, NotAuthorized.

        What a machine or an administrator reads is served from the cache, but doesn't fill it,
        unless it is the images of the user whom the machine acts for.
        """
        if not is_image_id(image_id):
            raise ImageNotFound
        reader = caller.acting_as or caller.share
        image = await self._cache.image(reader, image_id, lambda: self._repository.get(image_id))
        permitted = _permitted(caller, Action.READ, image)
        audit_log.used("read", caller, permitted.user_id, image_id)
        return permitted

    async def list(self, caller: Caller, query: ListQuery, user_id: str | None = None) -> Listing:
        """Returns a page of that user's images, by default of the caller's own.

        Raises ScopeMissing, NotAuthorized.
        """
        permit(caller, Action.LIST, user_id or caller.acting_as)
        owner_id = user_id or caller.user_id
        listing = await self._cache.listing(
            owner_id, query, lambda: self._read_page(owner_id, query)
        )
        audit_log.used("list", caller, owner_id)
        return listing

    async def _read_page(self, user_id: str, query: ListQuery) -> Listing:
        if not query.countable:
            return Listing(await self._lists.page(user_id, query), None)
        page, total = await asyncio.gather(
            self._lists.page(user_id, query), self._lists.count(user_id, query.album_id)
        )
        return Listing(page, total)

    async def update(
        self, caller: Caller, image_id: str, changes: ImageChanges, expected: ExpectedVersion
    ) -> Image:
        """Apply `changes` as the next version.

        Raises ScopeMissing, ImageNotFound, NotAuthorized, VersionRequired, VersionMismatch, in
        that order; the last also where other requests kept being faster.
        """

        async def write(image: Image, until: float) -> Image:
            edited = image.edited(changes, self._now())
            with audit_log.change("update", edited, caller):
                await self._repository.update(image, edited, until=until)
            return edited

        return await self._write(caller, Action.EDIT, image_id, expected, write)

    async def delete(
        self, caller: Caller, image_id: str, expected: ExpectedVersion, reason: str = ""
    ) -> None:
        """Raises as `update` does. Durable on return; `reason` is kept in the audit log."""

        async def write(image: Image, until: float) -> OutboxEntry:
            with audit_log.change("delete", image, caller, reason):
                return await self._repository.mark_deleted(image, self._now(), until=until)

        entry = await self._write(caller, Action.DELETE, image_id, expected, write)
        # The deletion is durable: from here on it succeeds, whatever fails.
        self._deletions.begin(entry)

    async def _write(
        self,
        caller: Caller,
        action: Action,
        image_id: str,
        expected: ExpectedVersion,
        write: Callable[[Image, float], Awaitable[T]],
    ) -> T:
        """Read, check and write, again while others are faster.

        Those of this task take turns, so that only other tasks are in each other's way.
        """
        now = asyncio.get_running_loop().time
        give_up, until = now() + self._patience, now() + LAST_EDIT_PATIENCE
        async with self._turn(caller, action, image_id, expected, give_up):
            for tries in count():
                image = await self._stored(caller, action, image_id)
                if action is Action.EDIT:
                    expected.require()
                expected.check(image.version)
                try:
                    async with self._cache.writing(image.user_id, image_id):
                        return await write(image, until)
                except (VersionMismatch, Contended) as lost:
                    if now() >= give_up:
                        raise expected.contended(image.version) from lost
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**tries)
                await asyncio.sleep(random.uniform(0, wait))  # noqa: S311 # not a secret
        raise AssertionError  # `count` has no end

    @asynccontextmanager
    async def _turn(
        self,
        caller: Caller,
        action: Action,
        image_id: str,
        expected: ExpectedVersion,
        give_up: float,
    ) -> AsyncIterator[None]:
        """By caller, too: who may not write an image does not delay those who may."""
        turn = self._turns.setdefault((caller.share, image_id), asyncio.Lock())
        try:
            async with asyncio.timeout_at(give_up):
                await turn.acquire()
        except TimeoutError as late:
            image = await self._stored(caller, action, image_id)
            raise expected.contended(image.version) from late
        try:
            yield
        finally:
            turn.release()

    async def _stored(self, caller: Caller, action: Action, image_id: str) -> Image:
        """As `get`, past the cache: what is about to be changed is read from the store."""
        image = await self._repository.get(image_id) if is_image_id(image_id) else None
        return _permitted(caller, action, image)


def _permitted(caller: Caller, action: Action, image: Image | None) -> Image:
    # Of what isn't there a caller learns no more than of their own.
    permit(caller, action, caller.acting_as if image is None else image.user_id)
    if image is None:
        raise ImageNotFound
    return image
