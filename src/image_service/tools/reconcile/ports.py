"""Ports of the reconciler, beside `ports`: stores read from end to end, and repaired.

Nothing that serves a request may use these: they cost what the stores hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from image_service.domain.images import Image
from image_service.domain.usage import Amount
from image_service.tools.reconcile.findings import (
    FilePage,
    ImageRecord,
    TablePage,
    TagPointer,
    Usage,
)


class ObjectInventory(Protocol):
    """All files there are; only repairs look at them like this."""

    async def page(self, prefix: str, after: str | None) -> FilePage:
        """Up to 1,000 files under `prefix`, in the order of their keys."""
        ...

    async def exists(self, key: str) -> bool: ...


class TableInventory(Protocol):
    """All items there are, and their repair.

    Reads are strongly consistent where nothing else is said. Repairs change only what is
    still as it was read, and say whether it was.
    """

    async def size(self) -> int:
        """About how many items there are."""
        ...

    async def page(self, position: str | None) -> TablePage: ...

    async def records(self, image_ids: Sequence[str]) -> Mapping[str, ImageRecord | None]:
        """By id, those on their way out included; None where it is there but unreadable."""
        ...

    async def requeue(self, image: Image, at: datetime) -> bool:
        """Have the worker clear away an image that is being deleted; at most once a day."""
        ...

    async def usage(self, user_id: str, album_id: str | None) -> Usage | None:
        """Raises UnreadableItem."""
        ...

    def counted(self, user_id: str, album_id: str | None) -> AsyncIterator[Amount]:
        """Returns what the images themselves add up to, a page at a time; may lag a moment behind.

        Raises UnreadableItem.
        """
        ...

    async def correct_usage(
        self, user_id: str, album_id: str | None, seen: Usage | None, right: Amount
    ) -> bool: ...

    async def wrong_pointers(self, image: Image) -> tuple[int, int]:
        """Returns how many of the image's tag pointers are missing, and how many are stale."""
        ...

    async def rewrite_pointers(self, image: Image) -> bool: ...

    async def has_pointer(self, pointer: TagPointer) -> bool: ...

    async def remove_pointer(self, pointer: TagPointer, seen: ImageRecord | None) -> bool: ...
