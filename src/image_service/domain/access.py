"""Access: who sends a request, what they may do, and how much they may send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from image_service.domain.errors import NotAuthorized, ScopeMissing


class Kind(Enum):
    """What a caller is. The values stand in logs."""

    USER = "user"
    ADMIN = "admin"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, as its token says; of a machine also whom it acts for.

    `id` is the user's, or the client id of a machine, which has the scopes
    `<scope_prefix>/read` and `<scope_prefix>/write`. `expires_at` in seconds since 1970.
    """

    id: str
    expires_at: int
    kind: Kind = Kind.USER
    scopes: frozenset[str] = frozenset()
    scope_prefix: str = ""
    acting_for: str | None = None

    @property
    def acting_as(self) -> str | None:
        """The user whose images are the caller's own; a machine by itself has none."""
        return self.acting_for if self.kind is Kind.MACHINE else self.id

    @property
    def user_id(self) -> str:
        """As `acting_as`; so that nothing is ever a machine's own, raises NotAuthorized."""
        user_id = self.acting_as
        if user_id is None:
            raise NotAuthorized(NAME_A_USER)
        return user_id

    # No user's id has a "#": what machines do never counts against a user.

    @property
    def sender(self) -> str:
        """Under which its requests are counted: a machine's together, for whomever they are."""
        return f"machine#{self.id}" if self.kind is Kind.MACHINE else self.id

    @property
    def share(self) -> str:
        """Under which its uploads and lists are counted: a machine's for each user apart."""
        if self.kind is Kind.MACHINE:
            return f"machine#{self.id}#{self.acting_for or ''}"
        return self.id

    def on_behalf_of(self, user_id: str) -> Caller:
        """Returns the caller acting for that user. Raises NotAuthorized for all but machines."""
        permit(self, Action.ACT_FOR, None)
        return replace(self, acting_for=user_id)


class Action(Enum):
    """The use that a caller wants to make of a user's images, or of one of them."""

    READ = auto()
    LIST = auto()
    COUNT = auto()
    UPLOAD = auto()
    EDIT = auto()
    DELETE = auto()
    ACT_FOR = auto()


class Role(Enum):
    """The relation of a caller to a user's images."""

    OWNER = auto()
    ADMIN = auto()
    MACHINE = auto()  # on nobody's behalf
    VISITOR = auto()


_UNITS: Final[Mapping[str, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE: Final = re.compile(
    rf"\s*([0-9]{{1,9}})\s*(?:/|per)\s*([0-9]{{1,5}})?\s*({'|'.join(_UNITS)})s?\s*", re.IGNORECASE
)
_OF_THE_OWNER: Final = frozenset(Action) - {Action.ACT_FOR}
_RIGHTS: Final[Mapping[Role, frozenset[Action]]] = {
    Role.OWNER: _OF_THE_OWNER,
    Role.ADMIN: frozenset({Action.READ, Action.LIST, Action.DELETE}),
    Role.MACHINE: frozenset({Action.READ, Action.ACT_FOR}),
    Role.VISITOR: frozenset(),
}
_SCOPES: Final[Mapping[Action, str]] = {
    Action.READ: "read",
    Action.LIST: "read",
    Action.COUNT: "read",
    Action.UPLOAD: "write",
    Action.EDIT: "write",
    Action.DELETE: "write",
}
NAME_A_USER: Final = (
    "By itself a machine may only read an image by its id; "
    "name the user that it acts for in the header On-Behalf-Of."
)
NOT_YOUR_LIST: Final = "Only an administrator may list another user's images; leave userId out."
_REFUSALS: Final[Mapping[Action, str]] = {
    Action.LIST: NOT_YOUR_LIST,
    Action.ACT_FOR: "Only a machine may act for a user; leave the header On-Behalf-Of out.",
}


def permit(caller: Caller, action: Action, owner_id: str | None) -> None:
    """Return where `caller` may do that with what is the user's `owner_id`, None being nobody.

    Decided here and nowhere else. Raises ScopeMissing, NotAuthorized.
    """
    role = _role(caller, owner_id)
    if caller.kind is Kind.MACHINE and action in _SCOPES:
        scope = f"{caller.scope_prefix}/{_SCOPES[action]}"
        if scope not in caller.scopes:
            raise ScopeMissing(scope)
    if action not in _RIGHTS[role]:
        by_itself = role is Role.MACHINE
        raise NotAuthorized(NAME_A_USER if by_itself else _REFUSALS.get(action))


def _role(caller: Caller, owner_id: str | None) -> Role:
    if owner_id is not None and owner_id == caller.acting_as:
        return Role.OWNER
    if caller.kind is Kind.ADMIN:
        return Role.ADMIN
    by_itself = caller.kind is Kind.MACHINE and caller.acting_for is None
    return Role.MACHINE if by_itself else Role.VISITOR


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
