"""Checks and repairs of files and of items, page by page.

Beside live traffic the stores are never seen at one moment. So what is young is left
alone, what looks wrong is looked at again, and repairs hold only for what was read.
A lost file can't be made again: it is reported, and left to a person and the bucket's versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from image_service.domain.images import Image
from image_service.domain.outbox import OutboxEntry
from image_service.domain.renditions import Rendition, image_of
from image_service.domain.rerenders import Rerender
from image_service.domain.uploads import UploadIntent
from image_service.services.sweeping import IntentSweeper, RerenderSweeper
from image_service.tools.reconcile.counters import CounterChecks
from image_service.tools.reconcile.findings import (
    FilePage,
    Finding,
    FindingKind,
    ImageRecord,
    TablePage,
    TagPointer,
)
from image_service.tools.reconcile.stores import Stores, repaired

PREFIX: Final = "images/"
_AT_ONCE: Final = 20
_SWEPT_WITHIN: Final = timedelta(minutes=20)  # two of the worker's periods

T = TypeVar("T")


class FileChecks:
    """Files that no image has.

    Before those of a page are removed, `admit` is given how many they are, and of how many
    files; it raises where they are too many. Without it none is removed.
    """

    def __init__(
        self, stores: Stores, *, before: datetime, admit: Callable[[int, int], None] | None
    ) -> None:
        self._table = stores.table
        self._inventory = stores.inventory
        self._objects = stores.objects
        self._intents = stores.intents
        self._rerenders = stores.rerenders
        self._before = before
        self._admit = admit

    async def check(self, page: FilePage) -> list[Finding]:
        ids = {
            file.key: image_of(file.key) for file in page.files if file.modified_at <= self._before
        }
        records = await self._table.records([image_id for image_id in ids.values() if image_id])
        strange, orphans = [], []
        for key, image_id in ids.items():
            if image_id is None:
                strange.append(Finding(FindingKind.ORPHANED_FILE, key, "not a name of ours"))
            elif image_id not in records:
                if await self._is_orphan(key, image_id):
                    orphans.append(key)
            elif _is_unnamed(key, records[image_id]) and await self._is_unwanted(key, image_id):
                detail = "its image does not name it"
                strange.append(Finding(FindingKind.ORPHANED_FILE, key, detail))
        fixed = await self._remove(orphans, len(page.files))
        return [
            *strange,
            *(Finding(FindingKind.ORPHANED_FILE, key, "no image", fixed) for key in orphans),
        ]

    async def _is_orphan(self, key: str, image_id: str) -> bool:
        """In this order: without an intent no commit can come; and a deleted image goes last."""
        if await self._intents.exists(image_id):
            return False
        if await self._table.records([image_id]):
            return False
        return await self._inventory.exists(key)

    async def _is_unwanted(self, key: str, image_id: str) -> bool:
        """In this order: a rerender's files go before its hold, and come before its commit."""
        if await self._rerenders.get(image_id):
            return False
        record = (await self._table.records([image_id])).get(image_id)
        return _is_unnamed(key, record) and await self._inventory.exists(key)

    async def _remove(self, keys: list[str], files: int) -> bool:
        if self._admit is None or not keys:
            return False
        self._admit(len(keys), files)
        return await repaired(self._removed(keys))

    async def _removed(self, keys: list[str]) -> bool:
        await self._objects.delete(keys)
        return True


def _is_unnamed(key: str, record: ImageRecord | None) -> bool:
    return record is not None and key not in record.image.object_keys


class ItemChecks:
    """Images, tag pointers and counters that don't go together, and what was left lying."""

    def __init__(
        self,
        stores: Stores,
        counters: CounterChecks,
        *,
        now: datetime,
        before: datetime,
        fix: bool,
    ) -> None:
        self._table = stores.table
        self._inventory = stores.inventory
        self._intents = stores.intents
        self._sweeper = IntentSweeper(intents=stores.intents, objects=stores.objects)
        self._rerenders = stores.rerenders
        self._holds = RerenderSweeper(stores.rerenders, stores.repository, stores.objects)
        self._outbox = stores.outbox
        self._counters = counters
        self._now = now
        self._before = before
        self._fix = fix

    async def check(self, page: TablePage) -> list[Finding]:
        settled = [
            record.image
            for record in page.records
            if record.deleted_at is None and record.image.updated_at <= self._before
        ]
        return [
            *(Finding(FindingKind.UNREADABLE_ITEM, key, "not read") for key in page.unreadable),
            *await _each(self._intent, page.intents),
            *await _each(self._hold, page.rerenders),
            *await _each(self._revived, page.dead_letters),
            *await _each(self._stuck, page.records),
            *await _each(self._image, settled),
            *await self._pointers(page.pointers),
            *await self._counters.check(page.usages, settled),
        ]

    async def _intent(self, intent: UploadIntent) -> list[Finding]:
        """One that is left of a committed image does no harm, and goes with the next sweep."""
        if (
            intent.created_at > self._before - _SWEPT_WITHIN
            or not await self._intents.exists(intent.image_id)
            or await self._table.records([intent.image_id])
        ):
            return []
        fixed = self._fix and await repaired(self._sweeper.settle(intent))
        return [Finding(FindingKind.OLD_INTENT, intent.image_id, f"of {intent.user_id}", fixed)]

    async def _hold(self, hold: Rerender) -> list[Finding]:
        if (
            hold.began_at > self._before - _SWEPT_WITHIN
            or await self._rerenders.get(hold.image_id) != hold
        ):
            return []
        fixed = self._fix and await repaired(self._ended(hold))
        detail = f"rerender of {hold.user_id}"
        return [Finding(FindingKind.OLD_INTENT, hold.image_id, detail, fixed)]

    async def _ended(self, hold: Rerender) -> bool:
        await self._holds.settle(hold)
        return await self._rerenders.get(hold.image_id) is None

    async def _revived(self, entry: OutboxEntry) -> list[Finding]:
        fixed = self._fix and await repaired(self._outbox.revive(entry, self._now))
        return [Finding(FindingKind.SET_ASIDE, entry.id, f"after {entry.tries} tries", fixed)]

    async def _stuck(self, record: ImageRecord) -> list[Finding]:
        image = record.image
        if record.deleted_at is None or record.deleted_at > self._before:
            return []
        if not await self._is_still(image.id, record):
            return []
        fixed = self._fix and await repaired(self._table.requeue(image, self._now))
        return [Finding(FindingKind.STUCK_DELETION, image.id, "being deleted for long", fixed)]

    async def _image(self, image: Image) -> list[Finding]:
        files = [await self._file(image.id, file) for file in image.renditions.values()]
        findings = [finding for finding in files if finding is not None]
        missing, stale = await self._table.wrong_pointers(image)
        if not (findings or missing or stale) or not await self._is_still(
            image.id, ImageRecord(image, None)
        ):
            return []
        if missing or stale:
            fixed = self._fix and await repaired(self._table.rewrite_pointers(image))
            for kind, count in (
                (FindingKind.MISSING_POINTER, missing),
                (FindingKind.STALE_POINTER, stale),
            ):
                if count:
                    findings.append(Finding(kind, image.id, f"{count} of its tags", fixed))
        return findings

    async def _file(self, image_id: str, file: Rendition) -> Finding | None:
        size = await self._inventory.size(file.key)
        if size is None:
            return Finding(FindingKind.MISSING_FILE, image_id, file.key)
        if size != file.size_bytes:
            detail = f"{file.key}: {size} bytes, not {file.size_bytes}"
            return Finding(FindingKind.OTHER_SIZE, image_id, detail)
        return None

    async def _is_still(self, image_id: str, record: ImageRecord | None) -> bool:
        """Returns whether the image is as it was read; None: not there."""
        records = await self._table.records([image_id])
        return records == ({} if record is None else {image_id: record})

    async def _pointers(self, pointers: Iterable[TagPointer]) -> list[Finding]:
        old = [pointer for pointer in pointers if pointer.uploaded_at <= self._before]
        records = await self._table.records([pointer.image_id for pointer in old])
        findings = []
        for pointer in old:
            record = records.get(pointer.image_id)
            if pointer.points_at(record):
                continue
            # An edit takes a pointer along: only both together, at one moment, are wrong.
            if await self._table.has_pointer(pointer) and await self._is_still(
                pointer.image_id, record
            ):
                fixed = self._fix and await repaired(self._table.remove_pointer(pointer, record))
                subject = f"{pointer.image_id} under {pointer.key!r} of {pointer.user_id}"
                detail = "no such image or tag"
                findings.append(Finding(FindingKind.ORPHANED_POINTER, subject, detail, fixed))
        return findings


async def _each(
    look: Callable[[T], Awaitable[list[Finding]]], things: Iterable[T]
) -> list[Finding]:
    """Returns what is found of each, some at a time."""
    waiting, findings = list(things), []
    for start in range(0, len(waiting), _AT_ONCE):
        some = waiting[start : start + _AT_ONCE]
        for found in await asyncio.gather(*(look(thing) for thing in some)):
            findings += found
    return findings
