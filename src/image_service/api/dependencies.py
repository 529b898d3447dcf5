"""Inputs of the routes: the state that they share, and `Annotated` types with their meaning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import Header, Query, Request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from image_service.api.bodies.form_parts import FormLimits
from image_service.api.middleware.exchange import exchange_of
from image_service.domain.access import Caller
from image_service.domain.errors import ValidationFailed
from image_service.domain.fields import (
    MAX_SHORT_TEXT,
    MAX_TAGS,
    FieldError,
    clean_album_id,
    clean_tags,
    clean_text,
    is_blank,
)
from image_service.domain.images import USER_ID_RULE, ExpectedVersion, is_user_id
from image_service.domain.listing import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    ListQuery,
    SortOrder,
    decode_cursor,
)
from image_service.domain.times import ceil_to_milliseconds, read_moment
from image_service.services import Services
from image_service.telemetry.telemetry import Telemetry

T = TypeVar("T")

_MAX_ENTITY_TAGS = 4096  # characters; a longer list is cut, and so malformed
_ENTITY_TAG = re.compile(r'(?:W/)?"([!#-~\x80-\xff]*)"')
_MAX_KEY: Final = 255
_KEY = re.compile(rf"[!-~]{{1,{_MAX_KEY}}}")
_MAX_PARAMETERS = 64
_TAG = frozenset({"tag", "tag[]"})


@dataclass(slots=True, kw_only=True)
class AppState:
    """Made with the app; its services come with the lifespan, and SIGTERM ends that it is ready."""

    telemetry: Telemetry
    form_limits: FormLimits
    stated_limits: Mapping[str, Any]
    """By the names that the OpenAPI document's texts have for them."""
    document: tuple[bytes, bytes] | None = None
    """OpenAPI as it is sent, plain and zipped, once somebody has asked for it."""
    services: Services = field(init=False)
    ready: bool = False


def state_of(app: Any) -> AppState:
    """Returns the state of an app, which ASGI scopes hold untyped."""
    state: AppState = app.state.shared
    return state


# A plain function: each `Depends` costs a request a hundredth of its time.
def asked(request: Request) -> tuple[Caller, Services]:
    """Returns whom the token names, which the gate has read, and what there is to serve them."""
    caller = exchange_of(request.scope).caller
    assert caller is not None  # noqa: S101 - for the type checker
    return caller, state_of(request.app).services


def entity_tags(header: str, name: str) -> frozenset[str] | Literal["*"]:
    """The opaque tags of an If-Match or If-None-Match header, weak or strong; or a bare `*`.

    Raises ValidationFailed naming the header.
    """
    if header.strip() == "*":
        return "*"
    parts = [part.strip() for part in header[:_MAX_ENTITY_TAGS].split(",")]
    found = [_ENTITY_TAG.fullmatch(part) for part in parts if part]
    if not found or None in found:
        raise ValidationFailed([(name, 'must be one or more quoted entity tags such as "3", or *')])
    return frozenset(match[1] for match in found if match)


class FieldErrors(list[tuple[str, str]]):
    """Errors of one request by field, to report all at once."""

    def check(self, field: str, clean: Callable[[], T]) -> T | None:
        """Returns what `clean` returns; None where it raised FieldError, which is kept."""
        try:
            return clean()
        except FieldError as error:
            self.append((field, str(error)))
            return None


@contextmanager
def collected_errors() -> Iterator[FieldErrors]:
    """Raises ValidationFailed at the end of the block where any error was found."""
    errors = FieldErrors()
    yield errors
    if errors:
        raise ValidationFailed(errors)


# Headers are lists, because one may come in several lines; the document shows one text.
IfMatch = Annotated[
    list[str] | None,
    Header(
        alias="If-Match",
        description=(
            'The ETag of the version you are changing, such as `"3"` or `"3.1"`, of which the '
            "version counts alone; or `*` for any."
        ),
    ),
    # In short: blanks and empty members are taken, too.
    WithJsonSchema({"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'}),
]
IfNoneMatch = Annotated[
    list[str] | None,
    Header(
        alias="If-None-Match",
        description="An ETag you hold; 304 if it is still the current one.",
    ),
    WithJsonSchema({"type": "string"}),
]
# Without an example: the docs page would send it as it stands, and the second picture that is
# tried out there would be refused for it.
IdempotencyKey = Annotated[
    list[str] | None,
    Header(
        alias="Idempotency-Key",
        description=(
            "A key of your own for this upload, such as a new UUID. Repeat the request with the "
            "same key for up to $key_hours hours, and the picture is stored once: you get the "
            "first response again. While the first request is still running the response is 409, "
            "and 422 if the key comes with another file or other fields. After a failure the key "
            "is free again."
        ),
    ),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": _MAX_KEY, "pattern": "^[!-~]+$"}
    ),
]

Reason = Annotated[
    list[str] | None,
    Query(
        description="Why it is deleted, in a line that the audit log keeps, such as "
        "`Reported: shows a person`."
    ),
    WithJsonSchema({"type": "string", "maxLength": MAX_SHORT_TEXT}),
]


def expected_version(values: IfMatch, body_version: int | None = None) -> ExpectedVersion:
    if_match = entity_tags(", ".join(values), "If-Match") if values else None
    return ExpectedVersion(body=body_version, if_match=if_match)


def sent_again(values: list[str]) -> str:
    return f"came {len(values)} times; send one"


def deletion_reason(values: Reason) -> str:
    """Raises ValidationFailed where it is not one line of at most 255 characters."""
    if not values:
        return ""
    with collected_errors() as errors:
        if len(values) > 1:
            errors.append(("reason", sent_again(values)))
        text = errors.check("reason", lambda: clean_text(values[0], limit=MAX_SHORT_TEXT))
    return text or ""


def idempotency_key(values: IdempotencyKey) -> str | None:
    """Raises ValidationFailed where it is not 1 to 255 visible ASCII characters."""
    if not values:
        return None
    if len(values) > 1:
        raise ValidationFailed([("Idempotency-Key", sent_again(values))])
    if not _KEY.fullmatch(values[0]):
        rule = f"must be 1 to {_MAX_KEY} visible ASCII characters without spaces"
        raise ValidationFailed([("Idempotency-Key", f"{rule}; got {len(values[0])} characters")])
    return values[0]


def not_modified(values: IfNoneMatch, tag: str) -> bool:
    """Returns whether If-None-Match names this entity tag. A malformed header matches nothing."""
    if not values:
        return False
    try:
        tags = entity_tags(", ".join(values), "If-None-Match")
    except ValidationFailed:
        return False
    return tags == "*" or tag in tags


def _instant(value: object) -> object:
    """A moment with a zone, rounded up to the millisecond that bounds the same images."""
    if not isinstance(value, str):
        return value
    try:
        return ceil_to_milliseconds(read_moment(value))
    except ValueError as error:
        raise ValueError(
            f"{error}; write it as 2026-01-31T09:30:00Z or 2026-01-31T10:30:00%2B01:00"
        ) from None


# The document leaves null out: a query string can't say it.
OptionalText = Annotated[str | None, WithJsonSchema({"type": "string"})]
Instant = Annotated[
    datetime | None,
    BeforeValidator(_instant),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class ListParameters(BaseModel):
    """The query string of `GET /images`. An empty value means not given."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=False, frozen=True
    )

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Images a page.")
    cursor: OptionalText = Field(None, description="`nextCursor` of the page before, same filters.")
    album_id: OptionalText = Field(None, description="Only this album's images.")
    tag: list[str] = Field(
        default_factory=list,
        description=(
            f"Repeatable, at most {MAX_TAGS}; all must match, upper or lower case. "
            "`tag[]` is taken alike."
        ),
    )
    uploaded_after: Instant = Field(None, description="Inclusive; ISO 8601 with zone.")
    uploaded_before: Instant = Field(None, description="Exclusive; ISO 8601 with zone.")
    sort_order: SortOrder = Field("desc", description="By time of upload.")
    user_id: OptionalText = Field(
        None,
        description="That user's images instead of your own, for administrators; such as "
        "`8f14e45f-ceea-467f-ab1c-2f0d3c9b1a77`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {name: value for name, value in values.items() if value}
        bracketed = given.pop("tag[]", [])  # of one, FastAPI makes a text
        tags = given.get("tag", []) + ([bracketed] if isinstance(bracketed, str) else bracketed)
        return {**given, "tag": [tag for tag in tags if tag]}

    def to_query(self, caller: Caller) -> ListQuery:
        """Raises ValidationFailed, InvalidCursor."""
        with collected_errors() as errors:
            if self.user_id is not None and not is_user_id(self.user_id):
                errors.append(("userId", f"must be the id of a user: {USER_ID_RULE}"))
            album_id = errors.check("albumId", lambda: _album_asked_for(self.album_id))
            tags = errors.check("tag", lambda: clean_tags(self.tag)) or ()
            after, before = self.uploaded_after, self.uploaded_before
            if after and before and after >= before:
                errors.append(("uploadedAfter", "must be earlier than uploadedBefore"))
        query = ListQuery(
            limit=self.limit,
            album_id=album_id,
            tags=tags,
            uploaded_after=after,
            uploaded_before=before,
            order=self.sort_order,
        )
        if self.cursor is None:
            return query
        owner_id = self.user_id or caller.user_id
        return replace(query, start=decode_cursor(self.cursor, owner_id, query))


def _album_asked_for(given: str | None) -> str | None:
    """A filter of nothing visible is a mistake, and must not return all images."""
    if given and is_blank(given):
        raise FieldError("has no visible character; leave it out")
    return clean_album_id(given)


async def list_place(request: Request) -> AsyncIterator[None]:
    """One of the caller's places for lists, until the response has been sent."""
    caller, services = asked(request)
    async with services.admission.listing(caller.share):
        yield


async def query_given_once(request: Request) -> None:
    """Refuses a repeated parameter other than `tag`: which of its values is meant is a guess."""
    if request.scope["query_string"].count(b"&") > _MAX_PARAMETERS:
        error = f"has more than {_MAX_PARAMETERS} parameters, the limit; send fewer"
        raise ValidationFailed([("query", error)])
    names = Counter(name for name, _ in request.query_params.multi_items() if name not in _TAG)
    with collected_errors() as errors:
        for name, times in names.items():
            if times > 1:
                errors.append((name, f"came {times} times; send one"))


ListQueryParameters = Annotated[ListParameters, Query()]
