"""Access: who sends a request, what they may do, and how much they may send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, as the token says. `expires_at` in seconds since 1970."""

    user_id: str
    expires_at: int


class Action(Enum):
    """The use that a caller wants to make of an image."""

    READ = auto()
    EDIT = auto()
    DELETE = auto()


class Role(Enum):
    """The relation of a caller to an image."""

    OWNER = auto()
    VISITOR = auto()


_UNITS: Final[Mapping[str, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE: Final = re.compile(
    rf"\s*([0-9]{{1,9}})\s*(?:/|per)\s*([0-9]{{1,5}})?\s*({'|'.join(_UNITS)})s?\s*", re.IGNORECASE
)
_RIGHTS: Final[Mapping[Role, frozenset[Action]]] = {
    Role.OWNER: frozenset(Action),
    Role.VISITOR: frozenset(),
}


def may(caller: Caller, action: Action, owner_id: str) -> bool:
    """Returns whether `caller` may do that with an image of the user `owner_id`.

    Decided here and nowhere else.
    """
    role = Role.OWNER if caller.user_id == owner_id else Role.VISITOR
    return action in _RIGHTS[role]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many things in a period of `count` of a `unit`."""

    amount: int
    count: int
    unit: str

    @property
    def seconds(self) -> int:
        return self.count * _UNITS[self.unit]

    @property
    def period(self) -> str:
        return self.unit if self.count == 1 else f"{self.count} {self.unit}s"


def read_rate(text: str) -> Rate:
    """Returns the rate of `100/minute` or `100 per 5 minutes`. Raises ValueError."""
    found = _RATE.fullmatch(text)
    rate = found and Rate(int(found[1]), int(found[2] or 1), found[3].lower())
    if not rate or not rate.amount or not rate.count:
        raise ValueError(
            "write a number above 0, '/', and second, minute, hour or day, such as 100/minute"
        )
    return rate


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit and what is left of it; `reset_at` in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    description: str
