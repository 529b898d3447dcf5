"""Work that must happen after a commit, and survives whoever was to do it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from ulid import ULID

from image_service.domain.images import Deletion, Image

REQUEST_CLEARS: Final = timedelta(seconds=30)  # a deletion; the request's own time for it

# S3 may carry out a write that its sender has given up and repeated. Long after the upload none
# is on its way any more; after a deletion there is one more look, once none can be.
YOUNG: Final = timedelta(hours=24)
LATE_WRITES: Final = timedelta(minutes=15)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_WINDOW: Final = 10_000  # milliseconds; what a cache missed of a user in these is one entry
_RANDOM_BYTES: Final = 10  # of a ULID


class Step(StrEnum):
    """The next step for deleted images. Each is safe to repeat."""

    OBJECTS = "objects"  # delete the files
    CDN = "edges"  # the files are deleted; wait to be put into a batch
    PURGE = "purge"  # one call for the batch, under the entry's id; then forget the images
    AGAIN = "again"  # look whether a write that was long on its way has brought a file back


class OutboxQueue(StrEnum):
    """Entries that wait for the same outside system, kept apart from those that don't.

    So however many one of them holds up, the others' are found at once.
    """

    CDN = "edges"  # the CDN
    CACHE = "cache"
    FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The state of the outbox. The oldest is so many seconds old; 0 where there is none.

    `waiting` and `dead_letters` are counted up to a bound, and no further.
    """

    waiting: int
    oldest_age: float
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """Deleted images on their way out: one at first, many once they are a batch."""

    step: Step
    deletions: tuple[Deletion, ...]


@dataclass(frozen=True, slots=True)
class CachePurge:
    """Removal of a user and of these images from the cache; an earlier try failed."""

    user_id: str
    image_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lease:
    """The owner of an entry, and until when."""

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

    @property
    def written_at(self) -> datetime:
        """As its id says; where that is none of ours, when it is due."""
        try:
            return ULID.from_str(self.id).datetime
        except ValueError:
            return self.due_at

    @classmethod
    def new(cls, work: Clearing | CachePurge, at: datetime, lease: Lease | None = None) -> Self:
        return cls(id=str(ULID.from_datetime(at)), due_at=at, work=work, lease=lease)

    @classmethod
    def of(cls, image: Image, at: datetime) -> Self:
        """Returns what is written with the deletion of `image`."""
        work = Clearing(Step.OBJECTS, (Deletion.of(image),))
        return cls(id=str(ULID.from_datetime(at)), due_at=at + REQUEST_CLEARS, work=work)

    @classmethod
    def invalidation(cls, removal: Deletion, at: datetime) -> Self:
        """Have the CDN forget files that have been removed."""
        return cls.new(Clearing(Step.CDN, (removal,)), at)

    @classmethod
    def note(cls, user_id: str, image_id: str, at: datetime) -> Self:
        """Have the cache purged, within ten seconds after `at`.

        Notes of one user that come due together have the same id, to be kept as one.
        """
        window = -((_EPOCH - at) // _MILLISECOND // _WINDOW) * _WINDOW  # rounded up
        digest = hashlib.sha256(user_id.encode()).digest()[:_RANDOM_BYTES]
        return cls(
            id=str(ULID(window.to_bytes(6, "big") + digest)),
            due_at=_EPOCH + window * _MILLISECOND,
            work=CachePurge(user_id, frozenset({image_id})),
        )

    @classmethod
    def second_look(cls, deletions: Iterable[Deletion], at: datetime) -> Self | None:
        """At those whose files may have been put not long before `at`; None where all are old."""
        young = tuple(
            each for each in deletions if each.revised or _uploaded_since(each, at - YOUNG)
        )
        return cls.new(Clearing(Step.AGAIN, young), at + LATE_WRITES) if young else None

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        return self.work.deletions if isinstance(self.work, Clearing) else ()

    @property
    def object_keys(self) -> list[str]:
        """Of all its deletions."""
        return [key for deletion in self.deletions for key in deletion.object_keys]

    @property
    def queue(self) -> OutboxQueue:
        if isinstance(self.work, CachePurge):
            return OutboxQueue.CACHE
        return (
            OutboxQueue.FILES if self.work.step in {Step.OBJECTS, Step.AGAIN} else OutboxQueue.CDN
        )

    @property
    def route(self) -> str:
        """The moment that its place in the queue goes by."""
        work = self.work
        return work.user_id if isinstance(work, CachePurge) else work.deletions[0].image_id


def _uploaded_since(deletion: Deletion, moment: datetime) -> bool:
    """By the time in its id. Images that were moved in have none, and are old."""
    try:
        return ULID.from_str(deletion.image_id).datetime >= moment
    except ValueError:
        return False
