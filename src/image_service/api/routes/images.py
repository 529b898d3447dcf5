"""The five routes: parse, one service call, shape the response."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from image_service.api import schemas
from image_service.api.bodies.bodies import (
    MAX_JSON_BYTES,
    json_too_large,
    not_json,
    read_changes,
    read_upload,
    upload_bytes,
)
from image_service.api.dependencies import (
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    ListQueryParameters,
    Reason,
    asked,
    deletion_reason,
    expected_version,
    idempotency_key,
    list_place,
    not_modified,
    query_given_once,
)
from image_service.api.openapi import (
    BAD_ON_BEHALF_OF,
    CLOSED,
    body,
    error_responses,
    header,
    operation_id,
)
from image_service.domain import errors
from image_service.domain.access import NAME_A_USER, NOT_YOUR_LIST, Action, permit
from image_service.domain.images import Image
from image_service.domain.listing import MAX_LIMIT, Listing, ListQuery, encode_cursor
from image_service.services import Services

COLLECTION = "/images"

router = APIRouter(prefix=COLLECTION, tags=["Images"], generate_unique_id_function=operation_id)

ImageId = Annotated[
    str, Path(alias="id", description="ULID.", examples=["01KAR0F3WJ8P5V2D7QK9T4XZ6M"])
]

_ETAG = header(
    "ETag",
    "Quoted; changes with all that is said of the image: the version, and once its renditions were "
    'made again a count of that behind it (`"3.1"`).',
    example='"3"',
)
_LOCATION = header("Location", "The image's path.", example="/images/01KAR0F3WJ8P5V2D7QK9T4XZ6M")
_REPLAYED = "Idempotency-Replayed"
_REPLAYED_HEADER = header(
    _REPLAYED,
    "`true` where an earlier request with the same `Idempotency-Key` stored the image.",
    example="true",
    required=False,
)
_IMAGE_ACCESS = (errors.NotAuthorized, errors.ImageNotFound)


@router.post(
    "",
    status_code=201,
    summary="Upload a picture",
    response_model=schemas.Image,
    response_description="Stored: the full image, its pictures ready to load.",
    responses={
        201: {"headers": {**_LOCATION, **_ETAG, **_REPLAYED_HEADER}},
        **error_responses(
            errors.ValidationFailed,
            errors.InvalidFileType,
            errors.InvalidImage,
            errors.InvalidDimensions,
            errors.AnimatedImage,
            errors.ImageTooComplex,
            errors.FileRequired,
            errors.MalformedBody,
            errors.FileTooLarge,
            errors.UnsupportedMediaType,
            errors.IdempotencyInProgress,
            errors.IdempotencyKeyReused,
            errors.UploadTimeout,
            errors.ProcessingFailed,
            errors.Overloaded,
            errors.NotAuthorized(NAME_A_USER),
            *CLOSED,
        ),
    },
    openapi_extra=body(
        schemas.ImageUpload,
        "multipart/form-data",
        encoding={
            "file": {"contentType": "image/jpeg, image/png, image/webp"},
            "tags": {"style": "form", "explode": True},
        },
    ),
)
async def upload_image(
    request: Request, response: Response, idempotency_keys: IdempotencyKey = None
) -> schemas.Image:
    """Send one JPEG, PNG or WebP file: up to $max_file, each side $min_side to $max_side pixels.

    It is turned upright, brought to sRGB, cleared of all metadata (GPS too), fitted into
    $main x $main pixels and stored as WebP, with a square thumbnail of up to $thumbnail pixels, and
    at the smaller widths that `renditions` lists.

    Send an `Idempotency-Key` to repeat the request safely when no response came.
    """
    caller, services = asked(request)
    permit(caller, Action.UPLOAD, caller.acting_as)  # before the body is read
    key = idempotency_key(idempotency_keys)
    with services.admission.receiving(caller.share, upload_bytes(request)):
        uploaded = await services.uploads.upload(caller, await read_upload(request), key)
    response.headers["Location"] = f"{COLLECTION}/{uploaded.image.id}"
    if uploaded.replayed:
        response.headers[_REPLAYED] = "true"
    return _full(uploaded.image, response, services)


@router.get(
    "",
    summary="List your images",
    response_model=schemas.ImagePage,
    response_description="A page, newest first unless asked otherwise.",
    dependencies=[Depends(query_given_once), Depends(list_place)],
    responses=error_responses(
        errors.ValidationFailed([("limit", f"Input should be less than or equal to {MAX_LIMIT}")]),
        errors.InvalidCursor,
        errors.NotAuthorized(NOT_YOUR_LIST),
        *CLOSED,
    ),
)
async def list_images(
    parameters: ListQueryParameters, request: Request, response: Response
) -> schemas.ImagePage:
    """Filters combine: an album's images with all of the given tags, within the dates.

    Follow `nextCursor`, with the same filters, until `hasMore` is false. A page is full
    unless it is the last; the exception is a filtered page that looked at $looked_at images
    without filling up, which comes short, with `hasMore` true and a cursor.
    """
    caller, services = asked(request)
    query = parameters.to_query(caller)
    listing = await services.library.list(caller, query, parameters.user_id)
    response.headers["Cache-Control"] = "private, no-cache"
    return _page(parameters.user_id or caller.user_id, query, listing, services)


@router.get(
    "/{id}",
    summary="Get one image",
    response_model=schemas.Image,
    response_description="The full image.",
    responses={
        200: {"headers": _ETAG},
        304: {"description": "Unchanged since the ETag in `If-None-Match`.", "headers": _ETAG},
        **error_responses(BAD_ON_BEHALF_OF, *_IMAGE_ACCESS, *CLOSED),
    },
)
async def get_image(
    image_id: ImageId, request: Request, response: Response, if_none_match: IfNoneMatch = None
) -> Any:
    """Strongly consistent: right after an upload or an edit it shows the result."""
    caller, services = asked(request)
    image = await services.library.get(caller, image_id)
    full = _full(image, response, services)
    response.headers["Cache-Control"] = "private, no-cache"
    if not_modified(if_none_match, image.entity_tag):
        return Response(status_code=304, headers=dict(response.headers))
    return full


@router.patch(
    "/{id}",
    summary="Edit an image",
    response_model=schemas.Image,
    response_description="The full image, at its new version.",
    responses={
        200: {"headers": _ETAG},
        **error_responses(
            errors.ValidationFailed([("titel", "Extra inputs are not permitted")]),
            errors.MalformedBody(
                "The body can't be read as JSON: Expecting value, line 1, column 11; "
                "send one object."
            ),
            *_IMAGE_ACCESS,
            errors.VersionMismatch,
            errors.PreconditionMismatch,
            json_too_large(MAX_JSON_BYTES + 1),
            not_json("text/plain"),
            errors.UploadTimeout,
            errors.VersionRequired,
            *CLOSED,
        ),
    },
    openapi_extra=body(schemas.ImagePatch, "application/json"),
)
async def edit_image(
    image_id: ImageId, request: Request, response: Response, if_match: IfMatch = None
) -> schemas.Image:
    """Change title, description, alt text, tags or album; null clears, absent stays.

    Say which version you are changing, by `version` in the body or by `If-Match`. Where
    somebody was faster, a stale `version` is 409 and a stale `If-Match` 412, both with
    `currentVersion`: read the image again and repeat your change.
    """
    caller, services = asked(request)
    changes, body_version = await read_changes(request)
    expected = expected_version(if_match, body_version)
    image = await services.library.update(caller, image_id, changes, expected)
    return _full(image, response, services)


@router.delete(
    "/{id}",
    status_code=204,
    summary="Delete an image",
    response_description="Deleted, for good.",
    responses=error_responses(
        errors.ValidationFailed(
            [("If-Match", 'must be one or more quoted entity tags such as "3", or *')]
        ),
        *_IMAGE_ACCESS,
        errors.VersionMismatch(4, contended=True),
        errors.PreconditionMismatch,
        *CLOSED,
    ),
)
async def delete_image(
    image_id: ImageId, request: Request, if_match: IfMatch = None, reason: Reason = None
) -> None:
    """Removes the image, its pictures, and their copies at the CDN. A second time is 404.

    409 only where other requests keep changing the image at that moment: send it again.
    """
    caller, services = asked(request)
    expected, why = expected_version(if_match), deletion_reason(reason)
    await services.library.delete(caller, image_id, expected, why)


def _full(image: Image, response: Response, services: Services) -> schemas.Image:
    response.headers["ETag"] = f'"{image.entity_tag}"'
    return schemas.Image.of(image, services.urls)


def _page(
    user_id: str, query: ListQuery, listing: Listing, services: Services
) -> schemas.ImagePage:
    following = listing.page.next_position
    return schemas.ImagePage(
        images=[schemas.Image.of(image, services.urls) for image in listing.page.images],
        pagination=schemas.Pagination(
            limit=query.limit,
            has_more=following is not None,
            next_cursor=following and encode_cursor(following, user_id, query),
        ),
        total_count=listing.total,
    )
