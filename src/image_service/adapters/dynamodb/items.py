"""Items of the table and the domain's objects, in both directions.

Values that can be computed are not stored, empty ones are left out, and attributes this
version does not know are ignored on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

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
    return {name: _value(attribute) for name, attribute in attributes.items()}


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


def _value(attribute: Any) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case "M":
            return from_wire(value)
        case "L":
            return [_value(part) for part in value]
        case "SS":
            return set(value)
        case "NULL":
            return None
    return value  # a text, a truth value; or of a kind this version does not use


def image_item(image: Image) -> Item:
    place = keys.uploaded(Position(image.uploaded_at, image.id))
    item: Item = {
        **keys.image_key(image.id),
        "type": "image",
        "schemaVersion": SCHEMA_VERSION,
        "GSI1PK": keys.user_partition(image.user_id),
        "GSI1SK": place,
        "id": image.id,
        "userId": image.user_id,
        "albumId": image.album_id,
        "originalFilename": image.original_filename,
        "originalMimeType": image.original_mime_type,
        "originalWidth": image.original_width,
        "originalHeight": image.original_height,
        "fileSize": image.file_size,
        "checksum": image.checksum,
        "ownerChecksum": f"{image.user_id}#{image.checksum}",
        "renditions": {
            name: {"key": file.key, "width": file.width, "height": file.height}
            | {"bytes": file.size_bytes}
            for name, file in image.renditions.items()
        },
        "format": image.format,
        "quality": image.quality,
        "placeholder": image.placeholder,
        "dominantColor": image.dominant_color,
        "title": image.title,
        "description": image.description,
        "altText": image.alt_text,
        "tags": list(image.tags),
        "uploadedAt": format_timestamp(image.uploaded_at),
        "createdAt": format_timestamp(image.created_at),
        "updatedAt": format_timestamp(image.updated_at),
        "version": image.version,
    }
    if image.album_id is not None:
        item["GSI2PK"] = keys.album_partition(image.user_id, image.album_id)
        item["GSI2SK"] = place
    return {name: value for name, value in item.items() if value is not None}


def to_image(item: Item) -> Image:
    return Image(
        id=item["id"],
        user_id=item["userId"],
        album_id=item.get("albumId"),
        original_filename=item.get("originalFilename"),
        original_mime_type=item["originalMimeType"],
        original_width=int(item["originalWidth"]),
        original_height=int(item["originalHeight"]),
        file_size=int(item["fileSize"]),
        checksum=item["checksum"],
        renditions={name: _to_rendition(file) for name, file in item["renditions"].items()},
        format=item["format"],
        quality=int(item["quality"]),
        placeholder=item["placeholder"],
        dominant_color=item["dominantColor"],
        title=item.get("title"),
        description=item.get("description"),
        alt_text=item.get("altText"),
        tags=tuple(item["tags"]),
        uploaded_at=parse_timestamp(item["uploadedAt"]),
        created_at=parse_timestamp(item["createdAt"]),
        updated_at=parse_timestamp(item["updatedAt"]),
        version=int(item["version"]),
    )


def _to_rendition(file: Mapping[str, Any]) -> Rendition:
    return Rendition(
        key=file["key"],
        width=int(file["width"]),
        height=int(file["height"]),
        size_bytes=int(file["bytes"]),
    )


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
