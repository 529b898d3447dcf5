"""Access: who sends a request, what they may do, and how much they may send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, as the token says. `expires_at` in seconds since 1970."""

    user_id: str
    expires_at: int


class Action(Enum):
    """What a caller wants to do with an image."""

    READ = auto()
    EDIT = auto()
    DELETE = auto()


class Role(Enum):
    """The relation of a caller to an image."""

    OWNER = auto()
    VISITOR = auto()


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
class RateLimit:
    """A limit and what is left of it; `reset_at` in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    description: str
