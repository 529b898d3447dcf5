"""The reconciler: compares files, items and counters from end to end, and repairs them.

It goes through all files, then all items, page by page, and says after each page where it is,
so that an interrupted run can go on from there. A repair that met something newer than it
read did nothing, and counts as found, not fixed: another run will show.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from pydantic import Field

from image_service.domain.errors import DependencyUnavailable
from image_service.domain.times import utc_now
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import STALE_AFTER
from image_service.tools.checkpoints import Checkpoint
from image_service.tools.reconcile.checks import PREFIX, FileChecks, ItemChecks
from image_service.tools.reconcile.counters import CounterChecks
from image_service.tools.reconcile.findings import FilePage, Finding, FindingKind, TablePage
from image_service.tools.reconcile.stores import Stores

K = TypeVar("K", bound=StrEnum)

_KEPT: Final = 1_000  # findings of each kind that are reported one by one; all are counted
_ORPHANS_A_FILE: Final = 0.2


class Part(StrEnum):
    FILES = "files"
    ITEMS = "items"


def _zeros(keys: type[K]) -> Counter[K]:
    return Counter(dict.fromkeys(keys, 0))


class TooManyOrphans(Exception):
    """So many files have no image that more likely the table is the wrong one.

    `files` have been looked at so far.
    """

    def __init__(self, orphans: int, files: int) -> None:
        super().__init__()
        self.orphans = orphans
        self.files = files


class Reconciliation(Checkpoint):
    """The place of a run, and what it has found so far."""

    fix: bool
    part: Part = Part.FILES
    looked_at: Counter[Part] = Field(default_factory=lambda: _zeros(Part))
    found: Counter[FindingKind] = Field(default_factory=lambda: _zeros(FindingKind))
    fixed: Counter[FindingKind] = Field(default_factory=lambda: _zeros(FindingKind))
    findings: list[Finding] = Field(default_factory=list)

    def turn(self, findings: Sequence[Finding], looked_at: int, following: str | None) -> None:
        """Note what a page showed, and go on to the next one.

        A page is counted whole, so that one that failed half-way is not counted twice.
        """
        for finding in findings:
            self._note(finding)
        self.looked_at[self.part] += looked_at
        self.position = following
        if following is None:
            self.done = self.part is Part.ITEMS
            self.part = Part.ITEMS

    def _note(self, finding: Finding) -> None:
        self.found[finding.kind] += 1
        self.fixed[finding.kind] += finding.fixed
        if self.found[finding.kind] <= _KEPT:
            self.findings.append(finding)

    def has_done(self, part: Part) -> bool:
        return self.done or (part is Part.FILES and self.part is Part.ITEMS)

    @property
    def clean(self) -> bool:
        """Returns whether nothing is wrong any more."""
        return self.found.total() == self.fixed.total()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The pace and bounds of a run: what is younger than `min_age` is left alone.

    `rate` is files and items looked at a second. `max_orphans` is how many files without an
    image may be removed; None: a fifth of those looked at.
    """

    min_age: timedelta = STALE_AFTER
    rate: float = 2_000.0
    max_orphans: int | None = None


Progress = Callable[[Reconciliation], None]


class Reconciler:
    """`processor` does what repairs put into the outbox."""

    def __init__(
        self,
        stores: Stores,
        processor: OutboxProcessor,
        options: Options,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._stores = stores
        self._processor = processor
        self._options = options
        self._now = now

    async def size(self) -> int:
        """About how many items a run will look at."""
        return await self._stores.table.size()

    async def run(self, state: Reconciliation, progress: Progress) -> None:
        """Go on from `state` to the end; `progress` is called after each page.

        Raises DependencyUnavailable, and TooManyOrphans before it removes them; `state` is
        then where to go on.
        """
        before = self._now() - self._options.min_age
        files, items = self._file_checks(state, before), self._item_checks(state, before)
        progress(state)
        while not state.done:
            page: FilePage | TablePage
            if state.part is Part.FILES:
                page = await self._stores.inventory.page(PREFIX, state.position)
                findings, looked_at = await files.check(page), len(page.files)
            else:
                page = await self._stores.table.page(state.position)
                findings, looked_at = await items.check(page), page.looked_at
            state.turn(findings, looked_at, page.following)
            progress(state)
            await asyncio.sleep(looked_at / self._options.rate)
        if state.fix:
            with suppress(DependencyUnavailable):  # the workers will do it
                await self._processor.drain()

    def _file_checks(self, state: Reconciliation, before: datetime) -> FileChecks:
        def admit(orphans: int, files: int) -> None:
            orphans += state.fixed[FindingKind.ORPHANED_FILE]
            files += state.looked_at[Part.FILES]
            allowed = self._options.max_orphans
            if orphans > (files * _ORPHANS_A_FILE if allowed is None else allowed):
                raise TooManyOrphans(orphans, files)

        return FileChecks(self._stores, before=before, admit=admit if state.fix else None)

    def _item_checks(self, state: Reconciliation, before: datetime) -> ItemChecks:
        table, rate = self._stores.table, self._options.rate
        counters = CounterChecks(table=table, before=before, rate=rate, fix=state.fix)
        return ItemChecks(self._stores, counters, now=self._now(), before=before, fix=state.fix)
