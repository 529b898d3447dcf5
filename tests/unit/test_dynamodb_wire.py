"""Items on their way to DynamoDB and back, beside boto3's own serializer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from image_service.adapters.dynamodb.items import from_wire, to_wire

VALUES = [
    "Großer Kran",
    "",
    0,
    -7,
    2**53,
    True,
    False,
    {"main": {"bytes": 3, "key": "images/a.webp"}},
    {},
    ["a", 1, {"deep": [True]}],
    [],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_written_as_boto3_writes_them(value: Any) -> None:
    assert to_wire({"name": value}) == {"name": TypeSerializer().serialize(value)}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_were(value: Any) -> None:
    restored = from_wire(to_wire({"name": value}))["name"]

    assert restored == value
    assert type(restored) is type(value)


def test_tuples_become_lists_and_sets_stay_sets() -> None:
    wire = to_wire({"tags": ("b", "a"), "seen": {"x"}})

    assert wire == {"tags": {"L": [{"S": "b"}, {"S": "a"}]}, "seen": {"SS": ["x"]}}
    assert from_wire(wire) == {"tags": ["b", "a"], "seen": {"x"}}


@pytest.mark.parametrize("number", ["0", "-12", "1.5", "1E+3", "-0.25"])
def test_numbers_of_others_are_read(number: str) -> None:
    value = from_wire({"name": {"N": number}})["name"]

    assert value == Decimal(number)


@pytest.mark.parametrize(
    "attribute", [{"NULL": True}, {"NS": ["1"]}, {"B": "AA=="}, {"M": {"a": {"NULL": True}}}]
)
def test_kinds_this_version_does_not_use_are_read_all_the_same(attribute: Any) -> None:
    assert list(from_wire({"name": attribute})) == ["name"]


@pytest.mark.parametrize("value", [None, 1.5, b"raw"], ids=repr)
def test_what_is_not_stored_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="not stored"):
        to_wire({"name": value})
