"""Work that must happen after a commit, and survives whoever was to do it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from ulid import ULID

from image_service.domain.images import Deletion


class Step(StrEnum):
    """What comes next for deleted images. Each is safe to repeat."""

    OBJECTS = "objects"  # delete the files
    EDGES = "edges"  # the files are gone; wait to be put into a batch
    PURGE = "purge"  # one call for the batch, under the entry's id; then forget the images


@dataclass(frozen=True, slots=True)
class Clearing:
    """Deleted images on their way out: one at first, many once they are a batch."""

    step: Step
    deletions: tuple[Deletion, ...]


@dataclass(frozen=True, slots=True)
class CachePurge:
    """What the cache holds of a user and an image is to go; an earlier try failed."""

    user_id: str
    image_id: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Whose an entry is, and until when."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """`work` that is due at `due_at` and has failed `tries` times."""

    id: str
    due_at: datetime
    work: Clearing | CachePurge
    tries: int = 0
    lease: Lease | None = None

    @classmethod
    def new(cls, work: Clearing | CachePurge, at: datetime, lease: Lease | None = None) -> Self:
        return cls(id=str(ULID.from_datetime(at)), due_at=at, work=work, lease=lease)

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """As it was written together with the deletion."""
        work = Clearing(Step.OBJECTS, (deletion,))
        return cls(id=deletion.entry_id, due_at=deletion.due_at, work=work)

    @property
    def route(self) -> str:
        """What its place in the store goes by."""
        work = self.work
        return work.image_id if isinstance(work, CachePurge) else work.deletions[0].image_id
