"""Tidying of the OpenAPI document that FastAPI makes: names, nulls, headers, security, limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Template
from typing import Any, Final

Document = dict[str, Any]

_SECURITY_SCHEMES: Final = {
    "Cognito": {
        "type": "http",
        "description": (
            "A Cognito ID or access token, without the word `Bearer`. "
            "Of a local stack: `image-service token --user alice`."
        ),
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
}
_ENVELOPE: Final = ("error", "message", "code", "details", "requestId")

_ALWAYS: Final = ("X-Request-ID",)
_AUTHENTICATED: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_UNAUTHORIZED: Final = "401"
HEADERS: Final[Document] = {
    "X-Request-ID": {
        "description": "The caller's own where it is 1 to 128 letters, digits, `.`, `_`, `:`, `-`; "
        "else a new one. Quote it when you report a problem.",
        "required": True,
        "schema": {"type": "string", "example": "0b9f3c52-6a0e-4f0e-9c38-0f4f1c1f9f6e"},
    },
    "X-RateLimit-Limit": {
        "description": "Requests in a window. On every response to a request with a valid token.",
        "schema": {"type": "integer", "example": 1000},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in the current window.",
        "schema": {"type": "integer", "example": 999},
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


def referenced(*names: str) -> Document:
    """Headers of a response, by reference to the document's own."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def tidy(document: Document, limits: Mapping[str, object]) -> None:
    """In place. `limits` are the values that stand for `$name` in descriptions."""
    document["components"]["headers"] = HEADERS
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    _name_token(document)
    _declare_headers(document)
    _restore_nulls(document)
    _drop_framework_validation_error(document)
    _tidy_properties(document)
    _fill_in(document, limits)


def _operations(document: Document) -> Iterator[Document]:
    return (operation for path in document["paths"].values() for operation in path.values())


def _name_token(document: Document) -> None:
    """The authentication middleware asks for it, of which FastAPI knows nothing."""
    for operation in _operations(document):
        closed = _UNAUTHORIZED in operation["responses"]
        operation["security"] = [{name: []} for name in _SECURITY_SCHEMES] if closed else []


def _declare_headers(document: Document) -> None:
    """Those that middleware adds to every response, and to every authenticated one."""
    for operation in _operations(document):
        for status, response in operation["responses"].items():
            known = operation["security"] and status != _UNAUTHORIZED
            names = (*_ALWAYS, *_AUTHENTICATED) if known else _ALWAYS
            response["headers"] = {**response.get("headers", {}), **referenced(*names)}


def _restore_nulls(document: Document) -> None:
    """FastAPI leaves null values out of examples; in the envelope the key is always there."""
    for operation in _operations(document):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    example["value"] = {
                        name: example["value"].get(name) for name in _ENVELOPE
                    } | example["value"]


def _drop_framework_validation_error(document: Document) -> None:
    """FastAPI documents its own 422 for every parameter; here those are 400s."""
    for operation in _operations(document):
        content = operation["responses"].get("422", {}).get("content", {})
        if "HTTPValidationError" in str(content):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _tidy_properties(document: Document) -> None:
    """What pydantic says of fields and generators of clients take amiss.

    A title is the name once more, misspelt ("Albumid"). A default of null says that leaving a
    field out clears it, where it means that the field stays as it is.
    """
    shapes = list(document["components"]["schemas"].values())
    fields = [field for shape in shapes for field in shape.get("properties", {}).values()]
    for operation in _operations(document):
        fields += [parameter["schema"] for parameter in operation.get("parameters", ())]
    for field in fields:
        field.pop("title", None)
        if field.get("default", ...) is None:
            del field["default"]


def _fill_in(node: Any, limits: Mapping[str, object]) -> None:
    """Descriptions name limits as `$name`, because settings can change them."""
    if isinstance(node, list):
        for each in node:
            _fill_in(each, limits)
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "description" and isinstance(value, str):
                node[name] = Template(value).safe_substitute(limits)
            else:
                _fill_in(value, limits)
