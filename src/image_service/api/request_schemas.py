"""Request bodies as the OpenAPI document shows them; `bodies` reads them."""

from __future__ import annotations

from typing import Any, Final

from image_service.api.schemas import ImagePatch
from image_service.domain.fields import MAX_DESCRIPTION, MAX_SHORT_TEXT, MAX_TAG, MAX_TAGS


def _text(limit: int, **more: Any) -> dict[str, Any]:
    """An optional text part. The example is empty, for the docs page sends what it shows."""
    return {"type": "string", "maxLength": limit, "example": "", **more}


_UPLOAD: Final[dict[str, Any]] = {
    "title": "ImageUpload",
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "A JPEG, PNG or WebP, not animated.",
        },
        "title": _text(MAX_SHORT_TEXT),
        "description": _text(MAX_DESCRIPTION),
        "altText": _text(MAX_SHORT_TEXT, description="What it shows, for those who can't see it."),
        "albumId": _text(64, pattern="^[A-Za-z0-9_-]*$"),
        "tags": {
            "type": "array",
            "maxItems": MAX_TAGS,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_TAG},
            "example": [],
            "description": "Repeat the part (`tags` or `tags[]`), or send one JSON array as text.",
        },
    },
}

REQUEST_SCHEMAS: Final[dict[str, Any]] = {
    "ImageUpload": _UPLOAD,
    "ImageChanges": ImagePatch.model_json_schema(),
}

UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"$ref": "#/components/schemas/ImageUpload"},
                "encoding": {
                    "file": {"contentType": "image/jpeg, image/png, image/webp"},
                    "tags": {"style": "form", "explode": True},
                },
            }
        },
    }
}
PATCH_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ImageChanges"}}},
    }
}
