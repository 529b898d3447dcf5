"""The OpenAPI document: its prose, its errors, and what FastAPI does not say or says wrongly."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from image_service.api import schemas
from image_service.api.bodies.form_parts import size_text
from image_service.api.dependencies import state_of
from image_service.api.error_table import row_for
from image_service.api.errors import envelope, headers_of
from image_service.domain import errors
from image_service.domain.images import USER_ID_RULE
from image_service.domain.listing import LOOK_BOUND
from image_service.domain.uploads import RESPONSE_KEPT

Document = dict[str, Any]
ErrorSample = errors.ImageServiceError | type[errors.ImageServiceError]

# `$name` is one of `limits`.
DESCRIPTION = """
Upload pictures, get them back as WebP in several sizes, and keep your library in order.

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
* **Machines** have a client-credentials token with the scopes `$scope_prefix/read` and
  `$scope_prefix/write`. With `On-Behalf-Of: <userId>` they may do what that user may; without,
  read any image by its id. **Administrators** may also read any image, list a user's (`userId`)
  and delete any. Who neither is gets 403.
* **Edits don't overwrite each other.** Send the `version` you read, or its ETag in
  `If-Match`; a stale one is refused with the `currentVersion`.
* **Uploads can be repeated.** Send an `Idempotency-Key` of your own with `POST /images`; after a
  lost response or a 503, the same request with the same key stores nothing twice.
* **Pages are exact.** `hasMore` is true only if another image follows. Keep the filters the
  same while you follow `nextCursor`. Under filters, a page that looked at $looked_at images
  without filling up is returned short, with `hasMore` and a cursor to go on from.
* **Errors have one shape**: a stable `code` for programs, a `message` for people, and the
  `requestId` to quote. Retry 503 and 429 after `Retry-After` seconds.
* **Rate limits** for each user: `$requests` over all routes, `$uploads` for uploads;
  `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since 1970) are on every response.
"""

_SAMPLES: Final = Path(__file__).parent / "static/code-samples.json"
_REQUEST_ID: Final = "0b9f3c52-6a0e-4f0e-9c38-0f4f1c1f9f6e"
_SECURITY_SCHEMES: Final = {
    "Cognito": {
        "type": "http",
        "description": (
            "A Cognito ID or access token, without the word `Bearer`. "
            "Of a local stack: `image-service token --user alice`."
        ),
        "scheme": "bearer",
        "bearerFormat": "JWT",
    },
    "Machine": {
        "type": "http",
        "description": (
            "The access token of a machine (client credentials), without the word `Bearer`: with "
            "the scope `$scope_prefix/read` for GET, `$scope_prefix/write` for all else. "
            "Of a local stack: `image-service token --machine`."
        ),
        "scheme": "bearer",
        "bearerFormat": "JWT",
    },
}
# Without an example, as `Idempotency-Key`: the docs page would send it with a user's token.
_PARAMETERS: Final[Document] = {
    "On-Behalf-Of": {
        "name": "On-Behalf-Of",
        "in": "header",
        "description": (
            "Of machines alone: the id of the user whose images the request is about, as the `sub` "
            "of their tokens has it, such as `8f14e45f-ceea-467f-ab1c-2f0d3c9b1a77`. Sent with a "
            "user's token it is 403."
        ),
        "required": False,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:@|-]{1,128}$"},
    }
}
_ALWAYS: Final = ("X-Request-ID",)
_AUTHENTICATED: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_UNAUTHORIZED: Final = "401"
_HEADERS: Final[Document] = {
    "X-Request-ID": {
        "description": "The caller's own where it is 1 to 128 letters, digits, `.`, `_`, `:`, `-`; "
        "else a new one. Quote it when you report a problem.",
        "required": True,
        "schema": {"type": "string", "example": _REQUEST_ID},
    },
    "X-RateLimit-Limit": {
        "description": "Requests in a window. On every response to a request with a valid token.",
        "schema": {"type": "integer", "example": "$requests_count"},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in the current window.",
        "schema": {"type": "integer", "example": "$requests_left"},
    },
    "X-RateLimit-Reset": {
        "description": "The end of the current window, in seconds since 1970.",
        "schema": {"type": "integer", "example": 1769851801},
    },
    "WWW-Authenticate": {
        "description": '`Bearer`; with `error="invalid_token"` where a token was sent.',
        "required": True,
        "schema": {"type": "string", "example": "Bearer"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "example": 2},
    },
}

BAD_ON_BEHALF_OF: Final = errors.ValidationFailed(
    [("On-Behalf-Of", f"must be the id of a user: {USER_ID_RULE}")]
)
# Every route that needs a token sends these, and 400 for `On-Behalf-Of`.
CLOSED: Final = (
    errors.TokenMissing,
    errors.TokenInvalid,
    errors.TokenExpired,
    errors.ScopeMissing,
    errors.RateLimitExceeded,
    errors.ImageServiceError,
    errors.DependencyUnavailable,
    errors.AuthUnavailable,
)


def operation_id(route: APIRoute) -> str:
    """Names the function of a generated client."""
    return route.name


def error_responses(*samples: ErrorSample) -> dict[int | str, Document]:
    """FastAPI's `responses` for errors, with an example of each: the table's, or one given."""
    by_status: dict[int | str, list[errors.ImageServiceError]] = defaultdict(list)
    for given in samples:
        sample = row_for(given).sample if isinstance(given, type) else given
        by_status[row_for(type(sample)).status].append(sample)
    return {status: _error_response(by_status[status]) for status in sorted(by_status, key=int)}


def _error_response(samples: list[errors.ImageServiceError]) -> Document:
    examples = {sample.code: {"value": envelope(sample, _REQUEST_ID)} for sample in samples}
    return {
        "model": schemas.Error,
        "description": ", ".join(f"`{sample.code}`" for sample in samples),
        "content": {"application/json": {"examples": examples}},
        "headers": _referenced(*{name for sample in samples for name in headers_of(sample)}),
    }


def limit(name: str) -> Any:
    """A value of `limits`, filled in when the document is made."""
    return f"${name}"


def _referenced(*names: str) -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def header(name: str, description: str, *, example: str, required: bool = True) -> Document:
    schema = {"type": "string", "example": example}
    return {name: {"description": description, "required": required, "schema": schema}}


def body(model: type[schemas.Schema], media_type: str, **more: Any) -> Document:
    """FastAPI's `openapi_extra` for a body that the route reads itself."""
    schema = {"$ref": f"#/components/schemas/{model.model_config['title']}"}
    content = {media_type: {"schema": schema, **more}}
    return {"requestBody": {"required": True, "content": content}}


def document(app: FastAPI) -> Document:
    """The OpenAPI document, made once an app."""
    if app.openapi_schema is None:
        made = get_openapi(
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
        components = made["components"]
        components["headers"] = _HEADERS
        components["parameters"] = _PARAMETERS
        components["securitySchemes"] = _SECURITY_SCHEMES
        for model in schemas.BODIES:
            components["schemas"][model.model_config["title"]] = model.model_json_schema()
        # As sent: FastAPI sorts the keys of a schema's examples.
        components["schemas"]["Image"]["examples"] = [schemas.IMAGE_EXAMPLE]
        components["schemas"]["Usage"]["examples"] = schemas.USAGE_EXAMPLES
        for operation in _operations(made):
            _restore_nulls(operation)
            _drop_framework_error(operation)
            _add_what_middleware_does(operation)
        _drop_titles_and_nulls(made)
        made = _filled(made, state_of(app).stated_limits)
        # The upload in three languages, which ReDoc shows beside it; made from examples/.
        made["paths"]["/images"]["post"]["x-codeSamples"] = json.loads(_SAMPLES.read_text())
        app.openapi_schema = made
    return app.openapi_schema


def _operations(made: Document) -> Iterator[Document]:
    return (operation for path in made["paths"].values() for operation in path.values())


def _restore_nulls(operation: Document) -> None:
    """FastAPI leaves null values out of examples; in the envelope the key is always there."""
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            for example in content.get("examples", {}).values():
                value = example["value"]
                first = {name: value.pop(name) for name in ("error", "message", "code")}
                example["value"] = {**first, "details": value.pop("details", None), **value}


def _drop_framework_error(operation: Document) -> None:
    """FastAPI documents its own 422 for every parameter; here those are 400s."""
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]


def _add_what_middleware_does(operation: Document) -> None:
    """The token it asks for, and the headers that it reads, and adds to all responses."""
    closed = _UNAUTHORIZED in operation["responses"]
    operation["security"] = [{name: []} for name in _SECURITY_SCHEMES] if closed else []
    if closed:
        named = {"$ref": "#/components/parameters/On-Behalf-Of"}
        operation["parameters"] = [*operation.get("parameters", ()), named]
    for status, response in operation["responses"].items():
        known = closed and status != _UNAUTHORIZED
        names = (*_ALWAYS, *_AUTHENTICATED) if known else _ALWAYS
        response["headers"] = {**response.get("headers", {}), **_referenced(*names)}


def _drop_titles_and_nulls(made: Document) -> None:
    """Drop what pydantic says of fields and generators of clients take amiss.

    A title is the name once more, misspelt ("Albumid"). A default of null says that leaving a
    field out clears it, where it means that the field stays as it is.
    """
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)
    shapes = made["components"]["schemas"].values()
    fields = [field for shape in shapes for field in shape.get("properties", {}).values()]
    for operation in _operations(made):
        parameters = operation.get("parameters", ())
        fields += [parameter["schema"] for parameter in parameters if "schema" in parameter]
    for field in fields:
        field.pop("title", None)
        if field.get("default", ...) is None:
            del field["default"]


def limits(
    *, requests: str, in_flight: int, max_file_bytes: int, min_side: int, **more: Any
) -> dict[str, Any]:
    """Returns the values of `$name` in the document: settings, and more ways to say them."""
    amount, period = re.split(r"\s*(?:/|per)\s*", requests)
    mebibytes, rest = divmod(max_file_bytes, 2**20)
    return {
        **more,
        "requests": requests,
        "requests_text": f"{amount} requests per {period}",
        "requests_count": int(amount),
        "requests_left": int(amount) - 1,
        "in_flight": in_flight,
        "over_in_flight": in_flight + 1,
        "max_file_bytes": max_file_bytes,
        "max_file_text": size_text(max_file_bytes),
        "max_file": f"{max_file_bytes:,} bytes" if rest else f"{mebibytes} MiB",
        "over_max_file": max_file_bytes + 1,
        "min_side": min_side,
        "small_width": min_side * 9 // 10,
        "small_height": min_side * 6 // 10,
        "key_hours": RESPONSE_KEPT // timedelta(hours=1),
        "looked_at": f"{LOOK_BOUND:,}",
    }


def _filled(node: Any, limits: Mapping[str, Any]) -> Any:
    """`node` with the limits for `$name` in its texts; a text of nothing else is the value."""
    match node:
        case dict():
            return {name: _filled(value, limits) for name, value in node.items()}
        case list():
            return [_filled(value, limits) for value in node]
        case str():
            name = node.removeprefix("$")
            return limits[name] if name != node and name in limits else _text(node, limits)
    return node


def _text(text: str, limits: Mapping[str, Any]) -> str:
    return Template(text).safe_substitute(limits) if "$" in text else text
