"""Items of the table and the domain's objects, in both directions.

Values that can be computed are not stored, empty ones are left out, and attributes this
version does not know are ignored on reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter, itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from image_service.adapters.dynamodb import keys
from image_service.domain.images import Image
from image_service.domain.listing import Position
from image_service.domain.renditions import Rendition
from image_service.domain.times import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        AttributeValueTypeDef,
        UniversalAttributeValueTypeDef,
    )

SCHEMA_VERSION: Final = 1

Item = dict[str, Any]
"""An item as plain Python values."""


def to_wire(item: Mapping[str, Any]) -> dict[str, UniversalAttributeValueTypeDef]:
    return {name: _attribute(value) for name, value in item.items()}


def from_wire(attributes: Mapping[str, AttributeValueTypeDef]) -> Item:
    return {
        name: value if kind == "S" else _value(kind, value)
        for name, attribute in attributes.items()
        for kind, value in attribute.items()  # one
    }


# boto3's own serializer asks eleven questions of a value before it comes to texts, and reads
# numbers as Decimal, none of which is needed here.
def _attribute(value: Any) -> UniversalAttributeValueTypeDef:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case dict():
            return {"M": to_wire(value)}
        case list() | tuple():
            return {"L": [_attribute(part) for part in value]}
        case set():  # of texts
            return {"SS": list(value)}
    raise TypeError(f"{type(value).__name__} is not stored")


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "N":
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case "M":
            return from_wire(value)
        case "L":
            return [_value(*part) for one in value for part in one.items()]
        case "SS":
            return set(value)
        case "NULL":
            return None
    return value  # a text, a truth value; or of a kind this version does not use


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _write_renditions(renditions: Mapping[str, Rendition]) -> Item:
    return {
        name: {"key": file.key, "width": file.width, "height": file.height}
        | {"bytes": file.size_bytes}
        for name, file in renditions.items()
    }


def _read_renditions(stored: Mapping[str, Any]) -> dict[str, Rendition]:
    return {
        name: Rendition(
            key=file["key"],
            width=int(file["width"]),
            height=int(file["height"]),
            size_bytes=int(file["bytes"]),
        )
        for name, file in stored.items()
    }


# A field of an image is stored under its own name in camel case, in the way of its type; so
# a new one needs nothing here. Old items lack it: it has to be optional, or `_ABSENT` has to say
# what it is in those that lack it.
_WRITERS: Final[dict[Any, Callable[[Any], Any]]] = {
    datetime: format_timestamp,
    tuple[str, ...]: list,
    Mapping[str, Rendition]: _write_renditions,
}
_READERS: Final[dict[Any, Callable[[Any], Any]]] = {
    int: int,  # numbers of other writers may come as floats
    datetime: parse_timestamp,
    tuple[str, ...]: tuple,
    Mapping[str, Rendition]: _read_renditions,
}
_ABSENT: Final = {"revision": 0}
_TYPES: Final = get_type_hints(Image)
_NAMES: Final = {name: _camel(name) for name in _TYPES}
_OPTIONAL: Final = {name: _NAMES[name] for name in _TYPES if NoneType in get_args(_TYPES[name])}
_WRITTEN: Final = [
    (_NAMES[name], _WRITERS[kind]) for name, kind in _TYPES.items() if kind in _WRITERS
]
_READ: Final = [
    (name, _NAMES[name], _READERS[kind])
    for name, kind in _TYPES.items()
    if kind in _READERS and name not in _ABSENT
]
_PLAIN: Final = sorted(
    _TYPES.keys() - _OPTIONAL.keys() - _ABSENT.keys() - {name for name, _, _ in _READ}
)
_fields_of: Final = attrgetter(*_NAMES)
_plain_of: Final = itemgetter(*(_NAMES[name] for name in _PLAIN))


def image_item(image: Image) -> Item:
    place = keys.uploaded(Position(image.uploaded_at, image.id))
    item: Item = {
        **keys.image_key(image.id),
        "type": "image",
        "schemaVersion": SCHEMA_VERSION,
        "GSI1PK": keys.user_partition(image.user_id),
        "GSI1SK": place,
        "ownerChecksum": f"{image.user_id}#{image.checksum}",
        **dict(zip(_NAMES.values(), _fields_of(image), strict=True)),
    }
    for name, write in _WRITTEN:
        item[name] = write(item[name])
    for name in _OPTIONAL.values():
        if item[name] is None:
            del item[name]
    for field, absent in _ABSENT.items():
        if item[_NAMES[field]] == absent:
            del item[_NAMES[field]]
    if image.album_id is not None:
        item["GSI2PK"] = keys.album_partition(image.user_id, image.album_id)
        item["GSI2SK"] = place
    return item


def to_image(item: Item) -> Image:
    """Returns the image of an item. Raises KeyError, TypeError or ValueError."""
    values = dict(zip(_PLAIN, _plain_of(item), strict=True))
    for field, name, read in _READ:
        values[field] = read(item[name])
    for field, name in _OPTIONAL.items():
        values[field] = item.get(name)
    for field, absent in _ABSENT.items():
        values[field] = int(item.get(_NAMES[field], absent))
    return Image(**values)


def is_live(item: Item) -> bool:
    return bool(item) and "deletedAt" not in item


def tag_pointers(image: Image) -> list[Item]:
    """One an image and tag: what a query filters on, without reading the image itself."""
    pointer: Item = {
        "SK": keys.uploaded(Position(image.uploaded_at, image.id)),
        "type": "tag",
        "schemaVersion": SCHEMA_VERSION,
        "id": image.id,
        "tags": list(image.tags),
    }
    if image.album_id is not None:
        pointer["albumId"] = image.album_id
    return [{"PK": keys.tag_partition(image.user_id, tag), **pointer} for tag in image.tags]
