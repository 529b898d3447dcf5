"""Rerenders: the hold on an image while its renditions are changed behind its users' backs.

One an image, and with one owner. When it ends, those of its files are deleted that the image
does not name then: whoever ends it, and whatever has happened by then, no live image loses a file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Deletion, Image


class HoldLost(DependencyUnavailable):
    """Somebody else has taken the hold over, and nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerender:
    """The hold of `owner` on an image, since `began_at`.

    Until the image has changed, `object_keys` are the files about to be written; once it is
    `committed`, those that the image named before and does no more.
    """

    image_id: str
    user_id: str
    owner: str
    object_keys: tuple[str, ...]
    began_at: datetime
    committed: bool = False

    @classmethod
    def of(cls, image: Image, run: str, keys: Iterable[str], at: datetime) -> Self:
        """Returns a hold of that run, of an owner that there was never before.

        So what a dead process of the run still sends holds for no later hold of it.
        """
        return cls(
            image_id=image.id,
            user_id=image.user_id,
            owner=f"{run}/{uuid.uuid4()}",
            object_keys=tuple(keys),
            began_at=at,
        )

    def is_of(self, run: str) -> bool:
        """Returns whether that run began it, and nobody has taken it over."""
        return self.owner.startswith(f"{run}/")

    def taken_over(self, at: datetime) -> Self:
        """Returns the same hold, of an owner that there was never before."""
        return replace(self, owner=str(uuid.uuid4()), began_at=at)

    def after_commit(self, before: Image, after: Image, at: datetime) -> Self | None:
        """Returns what is left to do once `after` has replaced `before`; None: nothing.

        Its owner is another, so that what this one still sends can't end it.
        """
        removed = tuple(key for key in before.object_keys if key not in after.object_keys)
        if not removed:
            return None
        return replace(self.taken_over(at), object_keys=removed, committed=True)

    def resting(self, at: datetime) -> Self:
        """Returns what keeps others from writing its files again, until a sweeper ends it."""
        return replace(self.taken_over(at), object_keys=())

    def unnamed(self, image: Image | None) -> tuple[str, ...]:
        """Returns its files that the image, as it is now, does not name."""
        named = image.object_keys if image is not None else ()
        return tuple(key for key in self.object_keys if key not in named)

    def removal(self, keys: tuple[str, ...]) -> Deletion:
        """Returns what the CDN must forget: files of an image that lives on."""
        return Deletion(
            image_id=self.image_id, user_id=self.user_id, object_keys=keys, image_lives=True
        )
