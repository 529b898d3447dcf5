"""The one place where access is decided."""

from __future__ import annotations

import pytest
from tests.unit.builders import caller

from image_service.domain.access import Action, may


@pytest.mark.parametrize("action", Action)
def test_the_owner_may_do_everything_and_others_nothing(action: Action) -> None:
    assert may(caller("alice"), action, "alice")
    for other in ("bob", "Alice", "alice ", ""):
        assert not may(caller(other), action, "alice")
