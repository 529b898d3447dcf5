"""Compares files, items and counters from end to end, and mends what went apart.

It goes through four parts in order, page by page, and says after each page where it is, so
that an interrupted run can go on from there. A repair that met something newer than it read
did nothing, and counts as found, not fixed: another run will tell.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from image_service.domain.audit import FaultKind, Finding
from image_service.domain.times import utc_now
from image_service.ports import ObjectStore, Outbox, UploadIntents
from image_service.repair_ports import ObjectInventory, TableAudit
from image_service.services.audits import PREFIX, FileAudit, ItemAudit
from image_service.services.outbox import OutboxProcessor
from image_service.services.sweeping import STALE_AFTER, IntentSweeper

_KEPT: Final = 1_000  # findings of each kind that are told one by one; all are counted


class Part(StrEnum):
    INTENTS = "intents"
    FILES = "files"
    ITEMS = "items"
    OUTBOX = "outbox"


@dataclass(kw_only=True)
class Audit:
    """Where a run is, and what it has found so far."""

    fix: bool
    part: Part = Part.INTENTS
    position: str | None = None
    done: bool = False
    looked_at: Counter[Part] = field(default_factory=Counter)
    found: Counter[FaultKind] = field(default_factory=Counter)
    fixed: Counter[FaultKind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def note(self, finding: Finding) -> None:
        self.found[finding.kind] += 1
        self.fixed[finding.kind] += finding.fixed
        if self.found[finding.kind] <= _KEPT:
            self.findings.append(finding)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.found.total() == self.fixed.total()


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How gently a run goes: what is younger than `min_age` is left alone.

    `rate` is files and items looked at a second; `settle` seconds are left between two
    counts of a counter that seems wrong.
    """

    min_age: timedelta = STALE_AFTER
    rate: float = 2_000.0
    settle: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What is compared."""

    audit: TableAudit
    inventory: ObjectInventory
    objects: ObjectStore
    intents: UploadIntents
    outbox: Outbox


Progress = Callable[[Audit], None]


class Reconciler:
    """`processor` does what repairs put into the outbox."""

    def __init__(
        self,
        stores: Stores,
        processor: OutboxProcessor,
        care: Care,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._audit = stores.audit
        self._inventory = stores.inventory
        self._objects = stores.objects
        self._intents = stores.intents
        self._outbox = stores.outbox
        self._processor = processor
        self._care = care
        self._now = now

    async def size(self) -> int:
        """About how many items a run will look at."""
        return await self._audit.size()

    async def run(self, state: Audit, progress: Progress) -> None:
        """Go on from `state` to the end; `progress` is told after each page.

        Raises DependencyUnavailable; `state` is then where to go on.
        """
        parts = {
            Part.INTENTS: self._check_intents,
            Part.FILES: self._check_files,
            Part.ITEMS: self._check_items,
            Part.OUTBOX: self._check_outbox,
        }
        order = list(parts)
        for part in order[order.index(state.part) :]:
            state.part = part
            progress(state)
            await parts[part](state, progress)
            state.position = None
        state.done = True
        progress(state)

    async def _check_intents(self, state: Audit, progress: Progress) -> None:
        sweeper = IntentSweeper(intents=self._intents, objects=self._objects)
        findings = []
        async for intent in self._intents.stale(self._before()):
            if state.fix:
                await sweeper.settle(intent)
            detail = f"of {intent.user_id}"
            findings.append(Finding(FaultKind.OLD_INTENT, intent.image_id, detail, state.fix))
        await self._turned(state, progress, findings, len(findings), None)

    async def _check_files(self, state: Audit, progress: Progress) -> None:
        check = FileAudit(
            audit=self._audit,
            objects=self._objects,
            intents=self._intents,
            before=self._before(),
            fix=state.fix,
        )
        while True:
            page = await self._inventory.page(PREFIX, state.position)
            findings = [finding async for finding in check.check(page)]
            if await self._turned(state, progress, findings, len(page.files), page.following):
                return

    async def _check_items(self, state: Audit, progress: Progress) -> None:
        check = ItemAudit(
            audit=self._audit,
            inventory=self._inventory,
            now=self._now(),
            before=self._before(),
            settle=self._care.settle,
            fix=state.fix,
        )
        while True:
            page = await self._audit.page(state.position)
            findings = [finding async for finding in check.check(page)]
            if await self._turned(state, progress, findings, page.looked_at, page.following):
                return

    async def _turned(
        self,
        state: Audit,
        progress: Progress,
        findings: list[Finding],
        looked_at: int,
        following: str | None,
    ) -> bool:
        """Whether that was the last page.

        A page is counted whole, so that one that failed half-way is not counted twice.
        """
        for finding in findings:
            state.note(finding)
        state.looked_at[state.part] += looked_at
        state.position = following
        progress(state)
        await asyncio.sleep(looked_at / self._care.rate)
        return following is None

    async def _check_outbox(self, state: Audit, progress: Progress) -> None:
        findings = []
        async for entry in self._outbox.aside():
            if state.fix:
                await self._outbox.revive(entry, self._now())
            detail = f"after {entry.tries} tries"
            findings.append(Finding(FaultKind.SET_ASIDE, entry.id, detail, state.fix))
        if state.fix:
            await self._processor.drain()
        await self._turned(state, progress, findings, len(findings), None)

    def _before(self) -> datetime:
        return self._now() - self._care.min_age
