"""The one place where access is decided."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.builders import PREFIX, caller, machine

from image_service.domain.access import Action, Caller, Kind, permit
from image_service.domain.errors import NotAuthorized, ScopeMissing

ADMIN = replace(caller("admin"), kind=Kind.ADMIN)
FOR_ALICE = machine(acting_for="alice")
OWN = set(Action) - {Action.ACT_FOR}
READING = {Action.READ, Action.LIST, Action.COUNT}


def allowed(who: Caller, owner_id: str | None) -> set[Action]:
    permitted = set()
    for action in Action:
        try:
            permit(who, action, owner_id)
        except (NotAuthorized, ScopeMissing):
            continue
        permitted.add(action)
    return permitted


@pytest.mark.parametrize(
    ("who", "owner_id", "actions"),
    [
        pytest.param(caller("alice"), "alice", OWN, id="owner"),
        pytest.param(caller("bob"), "alice", set(), id="another"),
        pytest.param(caller("Alice"), "alice", set(), id="by case"),
        pytest.param(caller(""), "alice", set(), id="no id"),
        pytest.param(caller("alice"), None, set(), id="of nobody"),
        pytest.param(ADMIN, "admin", OWN, id="admin's own"),
        pytest.param(ADMIN, "alice", {Action.READ, Action.LIST, Action.DELETE}, id="admin"),
        pytest.param(machine(), "alice", {Action.READ, Action.ACT_FOR}, id="machine"),
        pytest.param(machine(), None, {Action.READ, Action.ACT_FOR}, id="machine of nobody"),
        pytest.param(machine(), "main-api", {Action.READ, Action.ACT_FOR}, id="machine's name"),
        pytest.param(FOR_ALICE, "alice", OWN, id="for the owner"),
        pytest.param(FOR_ALICE, "bob", set(), id="for another"),
        pytest.param(FOR_ALICE, None, set(), id="acting for one already"),
        pytest.param(FOR_ALICE, "main-api", set(), id="for another than itself"),
        pytest.param(machine("read", acting_for="alice"), "alice", READING, id="reads"),
        pytest.param(
            machine("write", acting_for="alice"), "alice", OWN - READING, id="writes alone"
        ),
        pytest.param(machine("", acting_for="alice"), "alice", set(), id="no scope"),
        pytest.param(machine(""), "alice", {Action.ACT_FOR}, id="machine without scope"),
    ],
)
def test_who_may_do_what(who: Caller, owner_id: str | None, actions: set[Action]) -> None:
    assert allowed(who, owner_id) == actions


def test_a_machine_owns_nothing() -> None:
    assert machine().acting_as is None
    with pytest.raises(NotAuthorized, match="On-Behalf-Of"):
        _ = machine().user_id
    assert FOR_ALICE.user_id == FOR_ALICE.acting_as == "alice"


@pytest.mark.parametrize("who", [caller("alice"), ADMIN, FOR_ALICE])
def test_nobody_but_a_machine_acts_for_others(who: Caller) -> None:
    with pytest.raises(NotAuthorized):
        who.on_behalf_of("bob")
    assert machine().on_behalf_of("bob").user_id == "bob"


def test_the_scope_that_is_missing_is_named() -> None:
    with pytest.raises(ScopeMissing, match=f"no scope {PREFIX}/write;") as missing:
        permit(machine("read", acting_for="alice"), Action.EDIT, "alice")
    assert missing.value.details == {"scope": f"{PREFIX}/write"}


def test_what_a_machine_does_is_counted_apart_from_all_users() -> None:
    assert (caller("alice").sender, caller("alice").share) == ("alice", "alice")
    senders = {machine().sender, FOR_ALICE.sender}
    shares = {machine().share, FOR_ALICE.share, machine(acting_for="bob").share}
    assert (len(senders), len(shares)) == (1, 3)
    assert all("#" in name for name in senders | shares)  # which no user's id has
