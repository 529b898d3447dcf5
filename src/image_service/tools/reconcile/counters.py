"""Counters that say something else than their images add up to.

A counter is written whenever an image comes, goes or moves. So one that nobody has touched
for an hour can be held against an index, which lags, but not by that much. One that is
missing has no age: what is written in its place is young, and a later run looks at it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from image_service.domain.images import Image
from image_service.domain.usage import Amount
from image_service.tools.reconcile.findings import (
    Finding,
    FindingKind,
    ImageRecord,
    UnreadableItem,
    Usage,
)
from image_service.tools.reconcile.stores import repaired
from image_service.tools.reconcile.table import DynamoTableInventory

_AT_ONCE: Final = 200  # images, between two pauses
_Counter = tuple[str, str | None]  # of which user, and of which album


class CounterChecks:
    """`rate` is how many images are counted a second."""

    def __init__(
        self, *, table: DynamoTableInventory, before: datetime, rate: float, fix: bool
    ) -> None:
        self._table = table
        self._before = before
        self._rate = rate
        self._fix = fix
        self._missing: set[_Counter] = set()  # reported once, not with every image they miss

    async def check(self, usages: Iterable[Usage], settled: Sequence[Image]) -> list[Finding]:
        """`settled` are live images that nobody has changed for as long."""
        findings = []
        for usage in usages:
            if usage.updated_at is None or usage.updated_at <= self._before:
                findings += await self._compared((usage.user_id, usage.album_id), usage)
        for counter in await self._not_there(settled):
            findings += await self._compared(counter, None)
        return findings

    async def _not_there(self, images: Iterable[Image]) -> list[_Counter]:
        there: set[_Counter] = set()
        missing = []
        for image in images:
            for counter in {(image.user_id, None), (image.user_id, image.album_id)}:
                if counter in there or counter in self._missing:
                    continue
                if await self._is_there(counter):
                    there.add(counter)
                elif await self._is_still(image):  # else it took the counter along
                    self._missing.add(counter)
                    missing.append(counter)
        return missing

    async def _is_there(self, counter: _Counter) -> bool:
        try:
            return await self._table.usage(*counter) is not None
        except UnreadableItem:  # which is a finding of its own
            return True

    async def _is_still(self, image: Image) -> bool:
        records = await self._table.records([image.id])
        return records == {image.id: ImageRecord(image, None)}

    async def _compared(self, counter: _Counter, seen: Usage | None) -> list[Finding]:
        try:
            right = await self._count(counter)
            if await self._table.usage(*counter) != seen:
                return []  # traffic
        except UnreadableItem:
            return []
        says = seen.amount if seen else Amount()
        user_id, album_id = counter
        if says == right and not (album_id and seen and not right.images):
            return []
        fixed = self._fix and await repaired(
            self._table.correct_usage(user_id, album_id, seen, right)
        )
        subject = user_id if album_id is None else f"{user_id} album {album_id}"
        detail = f"says {_shown(says if seen else None)}, is {_shown(right)}"
        return [Finding(FindingKind.WRONG_COUNTER, subject, detail, fixed)]

    async def _count(self, counter: _Counter) -> Amount:
        images = size = 0
        async for one in self._table.counted(*counter):
            images += one.images
            size += one.size_bytes
            if not images % _AT_ONCE:
                await asyncio.sleep(_AT_ONCE / self._rate)
        return Amount(images, size)


def _shown(amount: Amount | None) -> str:
    return f"{amount.images} images, {amount.size_bytes} bytes" if amount else "nothing"
