"""Admission reckons with what a header says: it must never be less than what is taken."""

from __future__ import annotations

import pytest
from benchmarks.memory import KINDS, measure


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_takes_no_more_than_its_header_was_reckoned_to_cost(kind: str) -> None:
    cost = measure(KINDS[kind](1500))
    assert cost.taken <= cost.reckoned
    # And not far less, or there would be room for more of them.
    assert cost.reckoned <= 4 * cost.taken
