"""What is checked, page by page, of files and of items; and how it is mended.

Beside live traffic the stores are never seen at one moment. So what is young is left
alone, what looks wrong is looked at again, and repairs hold only for what was read.
Counters have no age; one that keeps the same wrong value over two counts has drifted.
A lost file can't be made again: it is told, and left to a person and the bucket's versions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from image_service.domain.audit import (
    FaultKind,
    FilePage,
    Finding,
    ImageRecord,
    TablePage,
    TagPointer,
    Usage,
)
from image_service.domain.images import Image
from image_service.ports import ObjectStore, UploadIntents
from image_service.repair_ports import ObjectInventory, TableAudit

PREFIX: Final = "images/"
_AT_ONCE: Final = 20
_COUNTS: Final = 3  # of a counter under traffic, before it is left for another time
# The three shapes of `domain.images.object_key`.
_FILE = re.compile(r"images/[^/]+/(?:thumbnails/)?(?P<id>[0-9A-Z]{26})(?:/[^/]+)?\.webp", re.ASCII)

Findings = AsyncIterator[Finding]


class FileAudit:
    """Files that no image has."""

    def __init__(
        self,
        *,
        audit: TableAudit,
        objects: ObjectStore,
        intents: UploadIntents,
        before: datetime,
        fix: bool,
    ) -> None:
        self._audit = audit
        self._objects = objects
        self._intents = intents
        self._before = before
        self._fix = fix

    async def check(self, page: FilePage) -> Findings:
        keys = [file.key for file in page.files if file.modified_at <= self._before]
        image_ids = {key: found["id"] for key in keys if (found := _FILE.fullmatch(key))}
        records = await self._audit.records(list(image_ids.values()))
        for key in keys:
            image_id = image_ids.get(key)
            if image_id is None:
                yield Finding(FaultKind.ORPHANED_FILE, key, "not a name the service gives")
            elif image_id not in records:
                if await self._is_orphan(image_id):
                    yield await self._removed(key)
            elif key not in records[image_id].image.object_keys:
                yield Finding(FaultKind.ORPHANED_FILE, key, "its image does not name it")

    async def _is_orphan(self, image_id: str) -> bool:
        """Without an intent no commit can come; so its absence is to be seen first."""
        if await self._intents.find(image_id) is not None:
            return False
        return not await self._audit.records([image_id])

    async def _removed(self, key: str) -> Finding:
        if self._fix:
            await self._objects.delete([key])
        return Finding(FaultKind.ORPHANED_FILE, key, "no image", fixed=self._fix)


class ItemAudit:
    """Images, counters and tag pointers that don't go together.

    `settle` is how long, in seconds, an index is given to catch up with the table.
    """

    def __init__(
        self,
        *,
        audit: TableAudit,
        inventory: ObjectInventory,
        now: datetime,
        before: datetime,
        settle: float,
        fix: bool,
    ) -> None:
        self._audit = audit
        self._inventory = inventory
        self._now = now
        self._before = before
        self._settle = settle
        self._fix = fix

    async def check(self, page: TablePage) -> Findings:
        for record in page.records:
            if record.deleted_at is not None and record.deleted_at <= self._before:
                yield await self._stuck(record.image)
        live = [record.image for record in page.records if record.deleted_at is None]
        settled = [image for image in live if image.updated_at <= self._before]
        for start in range(0, len(settled), _AT_ONCE):
            some = settled[start : start + _AT_ONCE]
            for findings in await asyncio.gather(*(self._image(image) for image in some)):
                for finding in findings:
                    yield finding
        async for finding in self._pointers(page.pointers):
            yield finding
        for user_id, album_id in await self._counters_of(page, live):
            if (wrong := await self._counter(user_id, album_id)) is not None:
                yield wrong

    async def _stuck(self, image: Image) -> Finding:
        fixed = self._fix and await self._audit.requeue(image, self._now)
        return Finding(FaultKind.STUCK_DELETION, image.id, "being deleted for long", fixed)

    async def _image(self, image: Image) -> list[Finding]:
        lost = await self._missing_files(image)
        findings = [Finding(FaultKind.MISSING_FILE, image.id, key) for key in lost]
        missing, stale = await self._audit.wrong_pointers(image)
        if missing or stale:
            if not await self._is_still(image):
                return findings
            fixed = self._fix and await self._audit.rewrite_pointers(image)
            for kind, count in (
                (FaultKind.MISSING_POINTER, missing),
                (FaultKind.STALE_POINTER, stale),
            ):
                if count:
                    findings.append(Finding(kind, image.id, f"{count} of its tags", fixed))
        return findings

    async def _missing_files(self, image: Image) -> list[str]:
        missing = [key for key in image.object_keys if not await self._inventory.exists(key)]
        return missing if missing and await self._is_still(image) else []

    async def _is_still(self, image: Image) -> bool:
        record = (await self._audit.records([image.id])).get(image.id)
        return record == ImageRecord(image, None)

    async def _pointers(self, pointers: Iterable[TagPointer]) -> Findings:
        old = [pointer for pointer in pointers if pointer.uploaded_at <= self._before]
        records = await self._audit.records([pointer.image_id for pointer in old])
        for pointer in old:
            record = records.get(pointer.image_id)
            if pointer.points_at(record):
                continue
            # It may have been read before an edit and its image after.
            fixed = await self._audit.remove_pointer(pointer, record) if self._fix else False
            subject = f"{pointer.image_id} under {pointer.key!r} of {pointer.user_id}"
            yield Finding(FaultKind.ORPHANED_POINTER, subject, "no such image or tag", fixed)

    async def _counters_of(
        self, page: TablePage, live: Iterable[Image]
    ) -> dict[tuple[str, str | None], None]:
        """Those on the page, and those that images on it should have but don't."""
        counters = {(usage.user_id, usage.album_id): None for usage in page.usages}
        wanted = {(image.user_id, None): None for image in live} | {
            (image.user_id, image.album_id): None for image in live
        }
        for user_id, album_id in wanted:
            if await self._audit.usage(user_id, album_id) is None:
                counters[user_id, album_id] = None
        return counters

    async def _counter(self, user_id: str, album_id: str | None) -> Finding | None:
        wrong = await self._drift(user_id, album_id)
        if wrong is None:
            return None
        await asyncio.sleep(self._settle)
        if await self._drift(user_id, album_id) != wrong:
            return None  # traffic, or an index that lagged; another run will tell
        seen, right = wrong
        fixed = self._fix and await self._audit.correct_usage(seen, right)
        return Finding(
            FaultKind.WRONG_COUNTER,
            user_id if album_id is None else f"{user_id} album {album_id}",
            f"says {_amount(seen)}, is {_amount(right)}",
            fixed,
        )

    async def _drift(self, user_id: str, album_id: str | None) -> tuple[Usage | None, Usage] | None:
        """What the counter says and what it should; None where they agree or won't hold still."""
        for _ in range(_COUNTS):
            before = await self._audit.usage(user_id, album_id)
            right = await self._audit.counted(user_id, album_id)
            if await self._audit.usage(user_id, album_id) == before:
                nothing = replace(right, images=0, size_bytes=0)
                same = (before or nothing) == right and not (album_id and before == nothing)
                return None if same else (before, right)
        return None


def _amount(usage: Usage | None) -> str:
    return f"{usage.images} images, {usage.size_bytes} bytes" if usage else "nothing"
