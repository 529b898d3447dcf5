"""Items on their way to DynamoDB and back, beside boto3's own serializer."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from tests.unit.builders import make_image

from image_service.adapters.dynamodb.items import from_wire, image_item, to_image, to_wire
from image_service.domain.images import Image
from image_service.domain.renditions import Rendition

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


# As the first release wrote it, and other tools may: it has to be read for ever.
OLD_ITEM = {
    "PK": "IMAGE#01KAR0F3WJ8P5V2D7QK9T4XZ6M",
    "SK": "METADATA",
    "type": "image",
    "schemaVersion": 1,
    "id": "01KAR0F3WJ8P5V2D7QK9T4XZ6M",
    "userId": "alice",
    "originalMimeType": "image/png",
    "originalWidth": 4000.0,
    "originalHeight": 3000,
    "fileSize": 7,
    "checksum": "c0ffee",
    "renditions": {
        "main": {"key": "m.webp", "width": 2048, "height": 1536, "bytes": 300},
        "thumbnail": {"key": "t.webp", "width": 400, "height": 400, "bytes": 20.0},
    },
    "format": "webp",
    "quality": 85,
    "placeholder": "hash",
    "dominantColor": "#a0b1c2",
    "tags": ["castle"],
    "uploadedAt": "2026-01-31T09:30:00.123Z",
    "createdAt": "2026-01-31T09:30:00.123Z",
    "updatedAt": "2026-01-31T10:30:00.123+01:00",
    "version": 3,
    "blurHash": "of a release to come",
}


NOT_OF_THE_IMAGE = {"PK", "SK", "type", "schemaVersion", "blurHash"}


def test_an_old_item_is_read() -> None:
    at = datetime(2026, 1, 31, 9, 30, 0, 123_000, tzinfo=UTC)
    image = to_image(OLD_ITEM)
    assert image == Image(
        id="01KAR0F3WJ8P5V2D7QK9T4XZ6M",
        user_id="alice",
        album_id=None,
        original_filename=None,
        original_mime_type="image/png",
        original_width=4000,
        original_height=3000,
        file_size=7,
        checksum="c0ffee",
        renditions={
            "main": Rendition(key="m.webp", width=2048, height=1536, size_bytes=300),
            "thumbnail": Rendition(key="t.webp", width=400, height=400, size_bytes=20),
        },
        format="webp",
        quality=85,
        placeholder="hash",
        dominant_color="#a0b1c2",
        title=None,
        description=None,
        alt_text=None,
        tags=("castle",),
        uploaded_at=at,
        created_at=at,
        updated_at=at,
        version=3,
    )
    assert type(image.original_width) is int


@pytest.mark.parametrize(
    "name", sorted(OLD_ITEM.keys() - {"PK", "SK", "type", "schemaVersion", "blurHash"})
)
def test_an_item_that_lacks_something_is_no_image(name: str) -> None:
    with pytest.raises(KeyError):
        to_image({key: value for key, value in OLD_ITEM.items() if key != name})


def test_empty_fields_are_not_stored() -> None:
    item = image_item(make_image(title=None, alt_text="A crane"))
    assert item["altText"] == "A crane"
    assert None not in item.values()
    assert not {"title", "albumId", "description"} & item.keys()
    assert to_image(item).title is None
