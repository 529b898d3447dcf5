"""The table of errors: how each is sent, what it means to a client, and a sample of it.

A new error is a class in `domain.errors` and a row here. The envelope, the OpenAPI document and
`docs/errors.md` follow (`make docs`); a route names the errors that it sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from image_service.domain import errors
from image_service.domain.fields import MAX_SHORT_TEXT


class RouteNotFound(errors.ImageServiceError):
    code = "ROUTE_NOT_FOUND"
    default_message = "There is no such route; see /docs for those there are."


class MethodNotAllowed(errors.ImageServiceError):
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"The route does not take this method; it takes {self.allowed}.")


class Row(NamedTuple):
    """An error as clients know it: by status, `error` of the envelope, and the code of `sample`.

    `when`, `remedy` and `retry` (may the same request be sent again?) are Markdown. The sample
    is one that the service sends; in its texts `$name` is one of `openapi.limits`.
    """

    status: int
    error: str
    sample: errors.ImageServiceError
    when: str
    remedy: str
    retry: str = "no"


_LATER: Final = "after `Retry-After`"
_ONCE: Final = "once, later"
_NEW_VERSION: Final = "on the new version"
_invalid = partial(Row, 400, "ValidationError")
_unauthorized = partial(Row, 401, "Unauthorized")
_not_found = partial(Row, 404, "NotFound")
_conflict = partial(Row, 409, "ConflictError")
_unavailable = partial(Row, 503, "ServiceUnavailable", retry=_LATER)

_ROWS: Final = (
    _invalid(
        errors.ValidationFailed(
            [("title", f"has 300 characters; the limit is {MAX_SHORT_TEXT}, shorten it")]
        ),
        "Fields or parameters break their rule; `details` names each.",
        "Fix what is named.",
    ),
    _invalid(
        errors.InvalidFileType(
            "Only JPEG, PNG and WebP images are supported; this file is a HEIC photo (High "
            "Efficiency), as iPhones take. On an iPhone, share it again with Options > 'Most "
            "Compatible', which makes a JPEG, and upload that; Settings > Camera > Formats > "
            "'Most Compatible' does so for new photos.",
            details={"measured": "image/heic", "limit": ["image/jpeg", "image/png", "image/webp"]},
        ),
        "By its contents not a JPEG, PNG or WebP, whatever its name says.",
        "Convert the picture.",
    ),
    _invalid(
        errors.InvalidImage(
            "The JPEG ends after 262144 bytes, before its picture does; by what it says it has "
            "at least 262146 bytes. Upload the whole file again; where the copy on your device "
            "is cut too, get it again from where it came from.",
            details={
                "reason": "truncated",
                "measured": {"bytes": 262_144},
                "limit": {"minBytes": 262_146},
            },
        ),
        "By `details.reason` the file is `truncated` or `damaged`, or has `noPicture` in it.",
        "See that you send the whole file; else save it again in an image editor.",
    ),
    _invalid(
        errors.InvalidDimensions(
            "The picture measures $small_width x $small_height pixels; it must be at least "
            "$min_side x $min_side and at most $max_side x $max_side. Upload a larger version of "
            "it.",
            details={
                "measured": {"width": "$small_width", "height": "$small_height"},
                "limit": {
                    "minWidth": "$min_side",
                    "minHeight": "$min_side",
                    "maxWidth": "$max_side",
                    "maxHeight": "$max_side",
                },
            },
        ),
        "Smaller or larger than the limits in `details`, or it takes more memory to decode "
        "than there is.",
        "Resize it, as `message` and `details` say.",
    ),
    _invalid(
        errors.AnimatedImage(
            "The picture is an animation of 12 frames; only still pictures are taken. "
            "Upload one of its frames.",
            details={"measured": {"frames": 12}, "limit": {"maxFrames": 1}},
        ),
        "The picture is an animation of more than one frame.",
        "Upload a still picture.",
    ),
    _invalid(
        errors.ImageTooComplex(
            "The picture took more than $cpu_seconds s of processor time. "
            f"{errors.ImageTooComplex.remedy}",
            details={
                "measured": {"cpuSeconds": "$cpu_seconds"},
                "limit": {"cpuSeconds": "$cpu_seconds"},
            },
        ),
        "Processing the picture took more time or memory than any picture may take, or made "
        "its decoder fail.",
        "Save it as a plain JPEG or PNG in an image editor.",
    ),
    _invalid(
        errors.FileRequired(),
        "The form has no part `file`, or an empty one.",
        "Name the part `file`.",
    ),
    _invalid(
        errors.InvalidCursor(),
        "The cursor belongs to other filters, or was changed.",
        "Start again without it; keep the filters from page to page.",
    ),
    _invalid(
        errors.MalformedBody(
            "The body ends before the form's closing boundary; send a complete "
            "multipart/form-data body, best made by your HTTP library."
        ),
        "The body is not the form or the JSON it says it is.",
        "Let your HTTP library make the body, and the `Content-Type` of a form.",
    ),
    _unauthorized(
        errors.TokenMissing(),
        "There is no `Authorization: Bearer` header.",
        "Send the token.",
    ),
    _unauthorized(
        errors.TokenInvalid(),
        "Not a token of this service's users, or one of more than 16 KiB.",
        "Sign in again; see that the token is of the right user pool and app client. Too "
        "long a token (`details`): put fewer groups and claims into it.",
    ),
    _unauthorized(
        errors.TokenExpired(),
        "The token has expired.",
        "Refresh the token, or sign in again.",
        "with a new token",
    ),
    Row(
        403,
        "Forbidden",
        errors.NotAuthorized(),
        "The image belongs to another user; or the request is one that only an administrator, or "
        "only a machine, may make, or a machine that acts for nobody.",
        "Use the owner's token. Of a machine: name the user in `On-Behalf-Of`.",
    ),
    Row(
        403,
        "Forbidden",
        errors.ScopeMissing("$scope_prefix/write"),
        "The token of a machine lacks the scope that `details` names.",
        "Ask the token endpoint for that scope, and allow it to the app client.",
        "with a new token",
    ),
    _not_found(
        errors.ImageNotFound(),
        "There is no such image, or it has been deleted.",
        "Forget its id. After a repeated `DELETE`: an earlier try has done it.",
    ),
    _not_found(RouteNotFound(), "There is no such route.", "See `/docs`."),
    Row(
        405,
        "MethodNotAllowed",
        MethodNotAllowed(["GET", "HEAD", "POST"]),
        "The route does not take this method.",
        "See the `Allow` header.",
    ),
    Row(
        408,
        "RequestTimeout",
        errors.UploadTimeout(),
        "The body came too slowly; nothing was stored.",
        "Send a smaller picture, or on a better connection.",
        "with the same `Idempotency-Key`",
    ),
    _conflict(
        errors.IdempotencyInProgress(retry_after=2),
        "The first request with this key is still running.",
        "Repeat it, with the same key, until you get its response.",
        _LATER,
    ),
    _conflict(
        errors.VersionMismatch(4),
        "The `version` in the body is stale: the image has changed since you read it.",
        "Read the image again and repeat your change on that.",
        _NEW_VERSION,
    ),
    Row(
        412,
        "PreconditionFailed",
        errors.PreconditionMismatch(4),
        "The `If-Match` is stale: the image has changed since you read it.",
        "Read the image again and repeat your change on that.",
        _NEW_VERSION,
    ),
    Row(
        413,
        "PayloadTooLarge",
        errors.FileTooLarge(
            "The file has more than $max_file_text, the limit. Reduce the picture and try again.",
            details={"measured": "$over_max_file", "limit": "$max_file_bytes"},
        ),
        "The file, or the JSON, is larger than the limit that `message` names.",
        "Reduce the picture.",
    ),
    Row(
        415,
        "UnsupportedMediaType",
        errors.UnsupportedMediaType(
            "The request's Content-Type is application/json; send the picture as "
            "multipart/form-data."
        ),
        "The body is not of the type the route takes.",
        "Send `multipart/form-data` to POST, `application/json` to PATCH.",
    ),
    Row(
        422,
        "IdempotencyError",
        errors.IdempotencyKeyReused(),
        "The key was used for another file or other fields.",
        "Make a key for each upload, and keep it for its repeats alone.",
        "with a new key",
    ),
    Row(
        428,
        "PreconditionRequired",
        errors.VersionRequired(),
        "The change does not say which version it is of.",
        "Send `version` in the body, or the ETag in `If-Match`.",
    ),
    Row(
        429,
        "TooManyRequests",
        errors.RateLimitExceeded(limit="$requests_text", retry_after=1),
        "The user has made too many requests in a time, or has too many in progress at once.",
        "Wait `retryAfter` seconds; spread the requests by `X-RateLimit-Remaining`, and send "
        "fewer side by side.",
        _LATER,
    ),
    Row(
        500,
        "ProcessingError",
        errors.ProcessingFailed(),
        "The picture could not be processed in time; nothing was stored.",
        "If it fails again, save the picture again, or smaller.",
        _ONCE,
    ),
    Row(
        500,
        "InternalError",
        errors.ImageServiceError(),
        "Something went wrong on our side.",
        "Report the `requestId`.",
        _ONCE,
    ),
    _unavailable(
        errors.Overloaded(),
        "Too many pictures are being processed, or the machine had no processor time for this one.",
        "Repeat the upload with the same `Idempotency-Key`.",
    ),
    _unavailable(
        errors.DependencyUnavailable(),
        "A storage system is unavailable. After a change `message` may say that it is unknown "
        "whether it was made.",
        "Repeat an upload with the same `Idempotency-Key`, an edit with the same `If-Match`.",
    ),
    _unavailable(
        errors.AuthUnavailable(),
        "Tokens can't be checked at the moment.",
        "Keep the token: nothing is wrong with it.",
    ),
)
TABLE: Final = {type(row.sample): row for row in _ROWS}
CODES: Final = tuple(dict.fromkeys(kind.code for kind in TABLE))


def row_for(kind: type[errors.ImageServiceError]) -> Row:
    """Its own row, or that of the class it refines."""
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)
