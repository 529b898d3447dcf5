"""The JSON of the API: camelCase, every key always there."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from image_service.api.error_table import CODES
from image_service.domain import images as domain
from image_service.domain.fields import (
    MAX_ALBUM_ID,
    MAX_DESCRIPTION,
    MAX_SHORT_TEXT,
    MAX_TAG,
    MAX_TAGS,
)
from image_service.domain.listing import MAX_LIMIT
from image_service.domain.times import format_timestamp

_FOLDER = "images/8f14e45f-ceea-467f-ab1c-2f0d3c9b1a77"
_KEY = f"{_FOLDER}/01KAR0F3WJ8P5V2D7QK9T4XZ6M"
_THUMBNAIL = f"{_FOLDER}/thumbnails/01KAR0F3WJ8P5V2D7QK9T4XZ6M.webp"
_CDN = "https://images.lego-api.com"
_RENDITIONS: list[dict[str, Any]] = [
    {
        "name": name,
        "url": f"{_CDN}/{key}",
        "width": width,
        "height": height,
        "bytes": size,
        "mimeType": "image/webp",
    }
    for name, key, width, height, size in (
        ("w320", f"{_KEY}/w320.webp", 320, 240, 18_224),
        ("w640", f"{_KEY}/w640.webp", 640, 480, 57_910),
        ("w1280", f"{_KEY}/w1280.webp", 1280, 960, 171_436),
        ("main", f"{_KEY}.webp", 2048, 1536, 412_760),
    )
]
IMAGE_EXAMPLE: dict[str, Any] = {
    "id": "01KAR0F3WJ8P5V2D7QK9T4XZ6M",
    "userId": "8f14e45f-ceea-467f-ab1c-2f0d3c9b1a77",
    "albumId": "castle-2026",
    "originalFilename": "IMG_2041.jpg",
    "originalMimeType": "image/jpeg",
    "mimeType": "image/webp",
    "fileSize": 3482915,
    "processedSize": 412760,
    "width": 2048,
    "height": 1536,
    "originalWidth": 4032,
    "originalHeight": 3024,
    "aspectRatio": 1.333,
    "s3Key": f"{_KEY}.webp",
    "thumbnailKey": _THUMBNAIL,
    "imageUrl": f"{_CDN}/{_KEY}.webp",
    "thumbnailUrl": f"{_CDN}/{_THUMBNAIL}",
    "thumbnailWidth": 400,
    "thumbnailHeight": 400,
    "renditions": _RENDITIONS,
    "srcset": ", ".join(f"{each['url']} {each['width']}w" for each in _RENDITIONS),
    "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    "dominantColor": "#7a8b99",
    "processingStatus": "completed",
    "format": "webp",
    "quality": 85,
    "checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "title": "Castle gate",
    "description": "The gate house, seen from the moat.",
    "altText": "A grey brick gate house with two round towers",
    "tags": ["castle", "Medieval"],
    "createdAt": "2026-01-31T09:30:00.000Z",
    "updatedAt": "2026-01-31T09:30:00.000Z",
    "uploadedAt": "2026-01-31T09:30:00.000Z",
    "version": 1,
}

_USAGE = {"imageCount": 142, "totalBytes": 61_530_112}
USAGE_EXAMPLES: list[dict[str, Any]] = [
    {
        **_USAGE,
        "albums": [
            {"albumId": "castle-2026", "imageCount": 40, "totalBytes": 17_304_960},
            {"albumId": "trains", "imageCount": 12, "totalBytes": 5_192_704},
        ],
        "pagination": {"limit": 20, "hasMore": False, "nextCursor": None},
    },
    {**_USAGE, "albums": None, "pagination": None},
]


Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Schema(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Rendition(Schema):
    """A file of the whole picture, at one width."""

    name: str = Field(description="`w` and the width asked for; `main`: the largest.")
    url: Url = Field(description="Safe to store for `main`; of others, as long as it is listed.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    bytes: int = Field(description="Of the file.")
    mime_type: str = Field(description="`image/webp`.")


class Image(Schema):
    """An image and all that is known of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [IMAGE_EXAMPLE]})

    id: str = Field(description="ULID; sorts by time of upload.")
    user_id: str = Field(description="The owner: `sub` of the token it was uploaded with.")
    album_id: str | None = Field(description="The owner's album it belongs to.")
    original_filename: str | None = Field(description="As sent, without path; for display only.")
    original_mime_type: str = Field(description="Detected from the file, not as claimed.")
    mime_type: str = Field(description="Of the stored pictures: `image/webp`.")
    file_size: int = Field(description="Bytes uploaded.")
    processed_size: int = Field(description="Bytes of the picture at `imageUrl`.")
    width: int = Field(description="Pixels of the picture at `imageUrl`.")
    height: int = Field(description="Pixels of the picture at `imageUrl`.")
    original_width: int = Field(description="Pixels of the upload, after its orientation.")
    original_height: int = Field(description="Pixels of the upload, after its orientation.")
    aspect_ratio: float = Field(description="`width` / `height`, to three decimals.")
    s3_key: str = Field(alias="s3Key", description="Object key of the main picture.")
    thumbnail_key: str = Field(description="Object key of the thumbnail.")
    image_url: Url = Field(description="The picture, at most $main x $main pixels. Safe to store.")
    thumbnail_url: Url = Field(
        description="A square crop, at most $thumbnail pixels a side. Safe to store."
    )
    thumbnail_width: int = Field(description="Pixels.")
    thumbnail_height: int = Field(description="Pixels.")
    renditions: list[Rendition] = Field(
        description="The whole picture at each width it is stored at, ascending; the main picture "
        "is the last, of small ones the only one. The square thumbnail is not among them."
    )
    srcset: str = Field(description="The same, for `<img srcset>`; say `sizes` beside it.")
    placeholder: str = Field(description="ThumbHash in base64, to show while loading.")
    dominant_color: str = Field(description="`#rrggbb`.")
    processing_status: Literal["completed"] = Field(
        description="Pictures are ready with the response."
    )
    format: str = Field(description="Of the stored pictures: `webp`.")
    quality: int = Field(description="WebP quality of the main picture, 1 to 100.")
    checksum: str = Field(description="SHA-256 of the uploaded bytes, hex.")
    title: str | None = Field(description="In one line and NFC.")
    description: str | None = Field(description="In NFC, lines parted by `\\n`.")
    alt_text: str | None = Field(description="What it shows, for those who can't see it.")
    tags: list[str] = Field(description="In the order and spelling they were given.")
    created_at: Timestamp = Field(description="UTC, with milliseconds.")
    updated_at: Timestamp = Field(description="UTC; of the last edit.")
    uploaded_at: Timestamp = Field(description="UTC; lists are in this order.")
    version: int = Field(description="Starts at 1; every edit adds one. The ETag begins with it.")

    @classmethod
    def of(cls, image: domain.Image, urls: domain.CdnUrls) -> Image:
        values = dict(zip(_SAME, _same_of(image), strict=True))
        for name in _MOMENTS:
            values[name] = format_timestamp(values[name])
        main, thumbnail = image.main, image.thumbnail
        values["processed_size"] = main.size_bytes
        values["width"], values["height"] = main.width, main.height
        values["s3_key"] = main.key
        values["thumbnail_key"], values["thumbnail_url"] = thumbnail.key, urls.url(thumbnail.key)
        values["thumbnail_width"] = thumbnail.width
        values["thumbnail_height"] = thumbnail.height
        values["renditions"] = files = [
            {
                "name": name,
                "url": urls.url(file.key),
                "width": file.width,
                "height": file.height,
                "bytes": file.size_bytes,
                "mime_type": file.mime_type,
            }
            for name, file in image.by_width
        ]
        values["image_url"] = files[-1]["url"]
        values["srcset"] = ", ".join(f"{file['url']} {file['width']}w" for file in files)
        values["processing_status"] = "completed"
        return cls.model_validate(values)


# What responses call as the domain does.
_SAME: Final = [name for name in Image.model_fields if hasattr(domain.Image, name)]
_MOMENTS: Final = [name for name in _SAME if name.endswith("_at")]
_same_of: Final = attrgetter(*_SAME)


class Pagination(Schema):
    limit: int = Field(description="As asked for.", ge=1, le=MAX_LIMIT)
    has_more: bool = Field(description="Whether another page follows; exact.")
    next_cursor: str | None = Field(description="Send as `cursor` for the next page.")


class ImagePage(Schema):
    images: list[Image]
    pagination: Pagination
    total_count: int | None = Field(
        description="The caller's images, or the album's; null where tags or dates filter."
    )


class AlbumUsage(Schema):
    album_id: str
    image_count: int = Field(description="At least 1.")
    total_bytes: int = Field(description="Bytes stored: all files made of them.")


class Usage(Schema):
    """How much a user has stored."""

    image_count: int = Field(description="All images, those without an album included.")
    total_bytes: int = Field(
        description="Bytes stored: all files made of them. Uploaded files are not kept."
    )
    albums: list[AlbumUsage] | None = Field(
        description="With `by=album`: those that have images, by id; else null."
    )
    pagination: Pagination | None = Field(description="Of `albums`; null without them.")


# The docs page sends the example of an optional part as it is shown, so there is nothing in it.
_EMPTY: Final[dict[str, Any]] = {"example": ""}
_Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG)]


class ImageUpload(Schema):
    """The parts of the form."""

    model_config = ConfigDict(extra="forbid", title="ImageUpload")

    file: Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})] = Field(
        description="A JPEG, PNG or WebP, not animated."
    )
    title: str = Field(default_factory=str, max_length=MAX_SHORT_TEXT, json_schema_extra=_EMPTY)
    description: str = Field(
        default_factory=str, max_length=MAX_DESCRIPTION, json_schema_extra=_EMPTY
    )
    alt_text: str = Field(
        default_factory=str,
        max_length=MAX_SHORT_TEXT,
        description="What it shows, for those who can't see it.",
        json_schema_extra=_EMPTY,
    )
    album_id: str = Field(
        default_factory=str,
        max_length=MAX_ALBUM_ID,
        pattern="^[A-Za-z0-9_-]*$",
        json_schema_extra=_EMPTY,
    )
    tags: list[_Tag] = Field(
        default_factory=list,
        max_length=MAX_TAGS,
        description="Repeat the part (`tags` or `tags[]`), or send one JSON array as text.",
        json_schema_extra={"example": []},
    )


class ImagePatch(Schema):
    """The fields to change; an absent one stays, null clears."""

    # Lengths are measured by the domain, which cleans first and says what it measured.
    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=False,
        strict=True,
        title="ImageChanges",
        json_schema_extra={
            "examples": [{"title": "Castle gate", "tags": ["castle", "Medieval"], "version": 1}]
        },
    )

    title: Annotated[str | None, Field(json_schema_extra={"maxLength": MAX_SHORT_TEXT})] = None
    description: Annotated[str | None, Field(json_schema_extra={"maxLength": MAX_DESCRIPTION})] = (
        None
    )
    alt_text: Annotated[str | None, Field(json_schema_extra={"maxLength": MAX_SHORT_TEXT})] = None
    tags: Annotated[
        Annotated[list[str], Field(fail_fast=True)] | None,
        Field(
            description=f"Replaces all tags. At most {MAX_TAGS}, each 1 to {MAX_TAG} characters."
        ),
    ] = None
    album_id: Annotated[
        str | None, Field(json_schema_extra={"pattern": f"^[A-Za-z0-9_-]{{1,{MAX_ALBUM_ID}}}$"})
    ] = None
    version: Annotated[
        int | None, Field(description="The version you are changing; or send If-Match.", ge=1)
    ] = None


# Read and checked by `bodies`; FastAPI hears of them for the document alone.
BODIES: Final = (ImageUpload, ImagePatch)


class FieldFault(Schema):
    field: str
    message: str


class Error(Schema):
    """The envelope of every error."""

    error: str = Field(description="The kind of error.")
    message: str = Field(description="For people: what was measured, the limit, the remedy.")
    code: str = Field(
        description=f"For programs; stable. New ones may come. Known: {', '.join(CODES)}.",
        json_schema_extra={"examples": ["INVALID_IMAGE"], "x-extensible-enum": list(CODES)},
    )
    details: list[FieldFault] | dict[str, Any] | None = Field(
        description="`{field, message}` for each bad field, or `{measured, limit}` for a file."
    )
    request_id: str = Field(description="Quote it when you report a problem.")
    current_version: Annotated[int | None, WithJsonSchema({"type": "integer"})] = Field(
        default=None, description="With VERSION_MISMATCH only: the version to start from."
    )
    retry_after: Annotated[int | None, WithJsonSchema({"type": "integer"})] = Field(
        default=None, description="With RATE_LIMIT_EXCEEDED only: seconds to wait."
    )


class Check(Schema):
    status: Literal["up", "down", "disabled"]
    latency_ms: float | None


class Health(Schema):
    status: Literal["healthy", "degraded", "unhealthy"]
    checks: dict[str, Check]


class Probe(Schema):
    status: Literal["live", "not live", "ready", "not ready"]
