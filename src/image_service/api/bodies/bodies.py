"""Request bodies: bounded, read here, handed on as clean domain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from starlette.requests import Request

from image_service.api.bodies.form_parts import shown
from image_service.api.bodies.json_text import parse_json
from image_service.api.bodies.multipart import (
    check_content_length,
    read_form,
    tags_from,
)
from image_service.api.dependencies import FieldErrors, collected_errors, state_of
from image_service.api.schemas import ImagePatch
from image_service.domain.errors import (
    FileRequired,
    FileTooLarge,
    UnsupportedMediaType,
)
from image_service.domain.fields import (
    MAX_DESCRIPTION,
    MAX_SHORT_TEXT,
    clean_album_id,
    clean_filename,
    clean_tags,
    clean_text,
)
from image_service.domain.images import ImageChanges
from image_service.services.uploads import NewImage

# All fields at their limits, every character as a 12-byte JSON escape, come to 80 KB.
MAX_JSON_BYTES = 128 * 1024


def upload_bytes(request: Request) -> int:
    """Returns the most bytes its body can have, by the headers alone.

    Raises FileTooLarge, UnsupportedMediaType.
    """
    limits = state_of(request.app).form_limits
    _refuse_content_encoding(request)
    value = request.headers.get("content-length", "")
    # Python refuses to read numbers of thousands of digits.
    length = int(value[:20]) if value.isascii() and value.isdigit() else None
    check_content_length(length, limits)
    return limits.max_body_bytes if length is None else length


async def read_upload(request: Request) -> NewImage:
    """Raises the errors of `read_form`, FileRequired, ValidationFailed for all bad fields."""
    form = await read_form(
        request.headers.get("content-type"),
        request.stream(),
        state_of(request.app).form_limits,
    )
    if form.file is None:
        raise FileRequired
    given = {name: form.fields[name][0] for name in _CLEANERS if form.fields.get(name)}
    with collected_errors() as errors:
        fields = _clean(given, errors)
        tags = errors.check("tags", lambda: clean_tags(tags_from(form.fields)))
    return NewImage(
        data=form.file.data,
        checksum=form.file.sha256,
        filename=clean_filename(form.file.filename),
        album_id=fields.get("album_id"),
        title=fields.get("title"),
        description=fields.get("description"),
        alt_text=fields.get("alt_text"),
        tags=tags or (),
    )


async def read_changes(request: Request) -> tuple[ImageChanges, int | None]:
    """The changes of a PATCH, and the `version` beside them.

    Raises UnsupportedMediaType, FileTooLarge, MalformedBody, ValidationFailed.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise not_json(media_type)
    _refuse_content_encoding(request)
    patch = parse_json(await _read_bounded(request), ImagePatch)
    given = patch.model_dump(by_alias=True, exclude_unset=True)
    with collected_errors() as errors:
        changes = _clean(given, errors)
        if "tags" in given:
            changes["tags"] = errors.check("tags", lambda: clean_tags(given["tags"] or ())) or ()
    return changes, patch.version


_clean_short = partial(clean_text, limit=MAX_SHORT_TEXT)
_CLEANERS: Mapping[str, tuple[str, Callable[[str | None], str | None]]] = {
    "title": ("title", _clean_short),
    "description": (
        "description",
        partial(clean_text, limit=MAX_DESCRIPTION, keep_newlines=True),
    ),
    "altText": ("alt_text", _clean_short),
    "albumId": ("album_id", clean_album_id),
}


def _clean(given: Mapping[str, Any], errors: FieldErrors) -> ImageChanges:
    """The text fields among `given`, by their domain names; absent ones stay absent."""
    cleaned: dict[str, str | None] = {}
    for name, (domain_name, clean) in _CLEANERS.items():
        if name in given:
            cleaned[domain_name] = errors.check(name, partial(clean, given[name]))
    return cast("ImageChanges", cleaned)


def not_json(media_type: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"The request's Content-Type is {shown(media_type.encode()) or 'not given'}; "
        "send the changes as application/json."
    )


def json_too_large(measured: int) -> FileTooLarge:
    return FileTooLarge(
        f"The body has more than {MAX_JSON_BYTES:,} bytes, the limit; send less.",
        details={"measured": measured, "limit": MAX_JSON_BYTES},
    )


async def _read_bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise json_too_large(len(body))
    return bytes(body)


def _refuse_content_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType(
            f"The body has the Content-Encoding {shown(encoding.encode())}; send it without one."
        )
