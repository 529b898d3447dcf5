"""The route of the caller's usage."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from image_service.api import schemas
from image_service.api.dependencies import (
    IfNoneMatch,
    OptionalText,
    asked,
    not_modified,
    query_given_once,
)
from image_service.api.openapi import CLOSED, error_responses, header, operation_id
from image_service.domain.access import NAME_A_USER, Caller
from image_service.domain.errors import InvalidCursor, NotAuthorized, ValidationFailed
from image_service.domain.listing import DEFAULT_LIMIT, MAX_LIMIT
from image_service.domain.usage import AlbumQuery, decode_album_cursor, encode_album_cursor
from image_service.services.usage import Usage

router = APIRouter(prefix="/usage", tags=["Usage"], generate_unique_id_function=operation_id)

_ETAG = header("ETag", "Quoted; changes with the counts.", example='"9b1c7e0d5f3a4b6c8d2e1f00"')
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}


class UsageParameters(BaseModel):
    """The query string of `GET /usage`. An empty value means not given."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=False, frozen=True
    )

    by: Annotated[
        Literal["album"] | None, WithJsonSchema({"type": "string", "enum": ["album"]})
    ] = Field(None, description="`album`: also each album that has images.")
    # No default in the document: the docs page would send it without `by`, and be refused.
    limit: Annotated[int | None, Field(ge=1, le=MAX_LIMIT), WithJsonSchema(_LIMIT)] = Field(
        None, description=f"Albums a page, {DEFAULT_LIMIT} unless given; only with `by=album`."
    )
    cursor: OptionalText = Field(None, description="`nextCursor` of the page before.")

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value}

    def to_query(self, caller: Caller) -> AlbumQuery | None:
        """None where only the total is asked for. Raises ValidationFailed, InvalidCursor."""
        if self.by is None:
            if self.cursor is not None:
                raise InvalidCursor
            if self.limit is not None:
                raise ValidationFailed([("limit", "is for pages of albums: send by=album with it")])
            return None
        after = self.cursor and decode_album_cursor(self.cursor, caller.user_id)
        return AlbumQuery(self.limit or DEFAULT_LIMIT, after)


@router.get(
    "",
    summary="How much have you stored?",
    response_model=schemas.Usage,
    response_description="The counts, as of now.",
    responses={
        200: {"headers": _ETAG},
        304: {"description": "Unchanged since the ETag in `If-None-Match`.", "headers": _ETAG},
        **error_responses(
            ValidationFailed([("limit", f"Input should be less than or equal to {MAX_LIMIT}")]),
            InvalidCursor,
            NotAuthorized(NAME_A_USER),
            *CLOSED,
        ),
    },
    dependencies=[Depends(query_given_once)],
)
async def get_usage(
    parameters: Annotated[UsageParameters, Query()],
    request: Request,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """The number of your images and the bytes of their stored files.

    `totalBytes` counts what is kept: the WebP pictures and their thumbnails. It is not the sum
    of `fileSize`, because the uploaded files themselves are not kept.

    With `by=album` you also get your albums, in the order of their ids, a page at a time; follow
    `nextCursor` until `hasMore` is false. An album without images is not there, and images
    without an album are only in the total.

    Strongly consistent: right after an upload or a deletion the counts show it.
    """
    caller, services = asked(request)
    query = parameters.to_query(caller)
    usage = _shown(await services.usage.of(caller, query), query, caller)
    tag = hashlib.blake2b(usage.model_dump_json().encode(), digest_size=12).hexdigest()
    response.headers["ETag"] = f'"{tag}"'
    response.headers["Cache-Control"] = "private, no-cache"
    if not_modified(if_none_match, tag):
        return Response(status_code=304, headers=dict(response.headers))
    return usage


def _shown(usage: Usage, query: AlbumQuery | None, caller: Caller) -> schemas.Usage:
    total, page = usage.total, usage.albums
    if query is None or page is None:
        return schemas.Usage(
            image_count=total.images, total_bytes=total.size_bytes, albums=None, pagination=None
        )
    return schemas.Usage(
        image_count=total.images,
        total_bytes=total.size_bytes,
        albums=[
            schemas.AlbumUsage(
                album_id=album.album_id,
                image_count=album.amount.images,
                total_bytes=album.amount.size_bytes,
            )
            for album in page.albums
        ],
        pagination=schemas.Pagination(
            limit=query.limit,
            has_more=page.more,
            next_cursor=encode_album_cursor(page.albums[-1].album_id, caller.user_id)
            if page.more
            else None,
        ),
    )
