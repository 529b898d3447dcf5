"""Additions to the OpenAPI document that the routes' signatures can't express."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from image_service.api import schemas
from image_service.api.document.tidying import referenced, tidy
from image_service.api.errors import answer_for, envelope
from image_service.api.request_schemas import REQUEST_SCHEMAS
from image_service.domain import errors

# `$name` is a limit of this service's settings.
DESCRIPTION = """
Upload pictures, get them back as WebP with a thumbnail, and keep your library in order.

**In a minute.** Send a JPEG, PNG or WebP to `POST /images` with your Cognito token:

```sh
curl "$IMAGES_URL/images" \\
  -H "Authorization: Bearer $IMAGES_TOKEN" \\
  -F file=@photo.jpg -F title='Castle gate'
```

The response holds `imageUrl` and `thumbnailUrl`, which browsers load straight from the CDN; store
them with your own data. To try it on this page, press *Authorize* and paste a token.

**Guides.** [Getting started](/docs/getting-started) has clients in curl, Python and TypeScript to
copy; [Errors](/docs/errors) lists every error with its remedy. The same API as
[a page to try](/docs), as [a reference](/redoc), as [a document](/openapi.json).

* **Your images are yours.** Every route but health and docs needs
  `Authorization: Bearer <token>` (an ID or access token); another user's image is 403.
* **Edits don't overwrite each other.** Send the `version` you read, or its ETag in
  `If-Match`; a stale one is refused with the `currentVersion`.
* **Uploads can be repeated.** Send an `Idempotency-Key` of your own with `POST /images`; after a
  lost response or a 503, the same request with the same key stores nothing twice.
* **Pages are exact.** `hasMore` is true only if another image follows. Keep the filters the
  same while you follow `nextCursor`. Under filters, a page that looked at 1,000 images
  without filling up is returned short, with `hasMore` and a cursor to go on from.
* **Errors have one shape**: a stable `code` for programs, a `message` for people, and the
  `requestId` to quote. Retry 503 and 429 after `Retry-After` seconds.
* **Rate limits** for each user: `$requests` over all routes, `$uploads` for uploads;
  `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since 1970) are on every response.
"""

_SAMPLES = Path(__file__).parent.parent / "static/code-samples.json"
_WITH_RETRY_AFTER = (errors.Unavailable, errors.RateLimitExceeded, errors.IdempotencyInProgress)
_EXAMPLE_REQUEST_ID = "0b9f3c52-6a0e-4f0e-9c38-0f4f1c1f9f6e"

# One sample for each code, so that the examples are what the service really sends.
INVALID_UPLOAD = (
    errors.ValidationFailed([("title", "has 300 characters; the limit is 255, shorten it")]),
    errors.InvalidFileType(
        "Only JPEG, PNG and WebP images are supported; this file is a HEIC photo (High "
        "Efficiency), as iPhones take. On an iPhone, share it again with Options > 'Most "
        "Compatible', which makes a JPEG, and upload that; Settings > Camera > Formats > 'Most "
        "Compatible' does so for new photos.",
        details={"measured": "image/heic", "limit": ["image/jpeg", "image/png", "image/webp"]},
    ),
    errors.InvalidImage(
        "The JPEG ends after 262144 bytes, before its picture does; by what it says it has at "
        "least 262146 bytes. Upload the whole file again; where the copy on your device is cut "
        "too, get it again from where it came from.",
        details={
            "reason": "truncated",
            "measured": {"bytes": 262_144},
            "limit": {"minBytes": 262_146},
        },
    ),
    errors.InvalidDimensions(
        "The picture measures 90 x 60 pixels; it must be at least 100 x 100 and at most "
        "8000 x 8000. Upload a larger version of it.",
        details={
            "measured": {"width": 90, "height": 60},
            "limit": {"minWidth": 100, "minHeight": 100, "maxWidth": 8000, "maxHeight": 8000},
        },
    ),
    errors.AnimatedImage(
        "The picture is an animation of 12 frames; only still pictures are taken. "
        "Upload one of its frames.",
        details={"measured": {"frames": 12}, "limit": {"maxFrames": 1}},
    ),
    errors.ImageTooComplex(
        f"The picture took more than 8 s of processor time. {errors.ImageTooComplex.remedy}",
        details={"measured": {"cpuSeconds": 8}, "limit": {"cpuSeconds": 8}},
    ),
    errors.FileRequired(),
    errors.MalformedBody(
        "The body ends before the form's closing boundary; send a complete multipart/form-data "
        "body, best made by your HTTP library."
    ),
)
INVALID_FIELDS = (
    errors.ValidationFailed([("albumId", "must be 1 to 64 letters, digits, '_' or '-'")]),
)
INVALID_QUERY = (
    errors.ValidationFailed([("limit", "Input should be less than or equal to 100")]),
    errors.InvalidCursor(),
)
INVALID_JSON = (
    errors.ValidationFailed([("titel", "Extra inputs are not permitted")]),
    errors.MalformedBody("The body is not valid JSON; send one object of changes."),
)
IMAGE_ACCESS = (errors.NotAuthorized(), errors.ImageNotFound())
TOO_LARGE = errors.FileTooLarge(
    "The file has more than 10,485,760 bytes; the limit is 10,485,760 bytes (10 MiB). "
    "Reduce the picture and try again.",
    details={"measured": 10_485_761, "limit": 10_485_760},
)
ALWAYS = (
    errors.TokenMissing(),
    errors.TokenInvalid(),
    errors.TokenExpired(),
    errors.RateLimitExceeded(limit="1000 requests per second", retry_after=1),
    errors.ImageServiceError(),
    errors.DependencyUnavailable(),
    errors.AuthUnavailable(),
)


def error_responses(
    *samples: errors.ImageServiceError, always: Sequence[errors.ImageServiceError] = ALWAYS
) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for the codes of `samples`, an example for each."""
    by_status: dict[int | str, list[errors.ImageServiceError]] = defaultdict(list)
    for sample in (*samples, *always):
        by_status[answer_for(type(sample)).status].append(sample)
    return {status: _response(by_status[status]) for status in sorted(by_status, key=int)}


def _response(samples: list[errors.ImageServiceError]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "model": schemas.Error,
        "description": ", ".join(f"`{sample.code}`" for sample in samples),
        "content": {
            "application/json": {
                "examples": {
                    sample.code: {"value": envelope(sample, _EXAMPLE_REQUEST_ID)}
                    for sample in samples
                }
            }
        },
    }
    if any(isinstance(sample, _WITH_RETRY_AFTER) for sample in samples):
        response["headers"] = referenced("Retry-After")
    if any(isinstance(sample, errors.Unauthenticated) for sample in samples):
        response["headers"] = referenced("WWW-Authenticate")
    return response


def header(name: str, description: str, *, example: str, required: bool = True) -> dict[str, Any]:
    schema = {"type": "string", "example": example}
    return {name: {"description": description, "required": required, "schema": schema}}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once an app."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
            contact=app.contact,
            servers=app.servers,
        )
        components = schema["components"]["schemas"]
        components.update(deepcopy(REQUEST_SCHEMAS))  # is tidied below
        components["Image"]["examples"] = [schemas.IMAGE_EXAMPLE]  # in the order of an answer
        components["Usage"]["examples"] = schemas.USAGE_EXAMPLES
        # The upload in three languages, which ReDoc shows beside it; made from examples/.
        schema["paths"]["/images"]["post"]["x-codeSamples"] = json.loads(_SAMPLES.read_text())
        tidy(schema, _limits(app))
        app.openapi_schema = schema
    return app.openapi_schema


def _limits(app: FastAPI) -> Mapping[str, object]:
    settings = app.state.settings
    return {
        "requests": settings.rate_limit_requests,
        "uploads": settings.rate_limit_uploads,
        "max_file": _size(settings.max_file_bytes),
        "min_side": settings.min_dimension,
        "max_side": settings.max_dimension,
        "main": settings.main_size,
        "thumbnail": settings.thumbnail_size,
    }


def _size(size: int) -> str:
    mebibytes, rest = divmod(size, 1024**2)
    return f"{size:,} bytes" if rest else f"{mebibytes} MiB"
