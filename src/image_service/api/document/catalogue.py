"""The catalogue of errors: for each, its meaning to a client and the remedy.

`docs/errors.md` is made from this, from the table in `api.errors` and from the samples in the
OpenAPI document (`make docs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from image_service.api.errors import MethodNotAllowed, RouteNotFound
from image_service.domain import errors


class Advice(NamedTuple):
    """`meaning`, `retry` (may the same request be sent again?) and `remedy`, in Markdown."""

    meaning: str
    retry: str
    remedy: str


_NO: Final = "no"
_LATER: Final = "after `Retry-After`"
_ONCE: Final = "once, later"

CATALOGUE: Final[Mapping[type[errors.ImageServiceError], Advice]] = {
    errors.ValidationFailed: Advice(
        "Fields or parameters break their rule; `details` names each.",
        _NO,
        "Fix what is named.",
    ),
    errors.InvalidFileType: Advice(
        "By its contents not a JPEG, PNG or WebP, whatever its name says.",
        _NO,
        "Convert the picture.",
    ),
    errors.InvalidImage: Advice(
        "By `details.reason` the file is `truncated` or `damaged`, or has `noPicture` in it.",
        _NO,
        "See that you send the whole file; else save it again in an image editor.",
    ),
    errors.InvalidDimensions: Advice(
        "Smaller or larger than the limits in `details`, or it takes more memory to decode than "
        "there is.",
        _NO,
        "Resize it, as `message` and `details` say.",
    ),
    errors.AnimatedImage: Advice(
        "The picture is an animation of more than one frame.", _NO, "Upload a still picture."
    ),
    errors.ImageTooComplex: Advice(
        "Processing the picture took more time or memory than any picture may take, or made its "
        "decoder fail.",
        _NO,
        "Save it as a plain JPEG or PNG in an image editor.",
    ),
    errors.FileRequired: Advice(
        "The form has no part `file`, or an empty one.",
        _NO,
        "Name the part `file`.",
    ),
    errors.InvalidCursor: Advice(
        "The cursor belongs to other filters, or was changed.",
        _NO,
        "Start again without it; keep the filters from page to page.",
    ),
    errors.MalformedBody: Advice(
        "The body is not the form or the JSON it says it is.",
        _NO,
        "Let your HTTP library make the body, and the `Content-Type` of a form.",
    ),
    errors.TokenMissing: Advice(
        "There is no `Authorization: Bearer` header.", _NO, "Send the token."
    ),
    errors.TokenInvalid: Advice(
        "Not a token of this service's users, or one of more than 16 KiB.",
        _NO,
        "Sign in again; see that the token is of the right user pool and app client. Too long a "
        "token (`details`): put fewer groups and claims into it.",
    ),
    errors.TokenExpired: Advice(
        "The token has expired.", "with a new token", "Refresh the token, or sign in again."
    ),
    errors.NotAuthorized: Advice(
        "The image belongs to another user.", _NO, "Use the owner's token."
    ),
    errors.ImageNotFound: Advice(
        "There is no such image, or it has been deleted.",
        _NO,
        "Forget its id. After a repeated `DELETE`: an earlier try has done it.",
    ),
    RouteNotFound: Advice("There is no such route.", _NO, "See `/docs`."),
    MethodNotAllowed: Advice(
        "The route does not take this method.", _NO, "See the `Allow` header."
    ),
    errors.UploadTimeout: Advice(
        "The body came too slowly; nothing was stored.",
        "with the same `Idempotency-Key`",
        "Send a smaller picture, or on a better connection.",
    ),
    errors.IdempotencyInProgress: Advice(
        "The first request with this key is still running.",
        _LATER,
        "Repeat it, with the same key, until you get its response.",
    ),
    errors.VersionMismatch: Advice(
        "The `version` in the body is stale: the image has changed since you read it.",
        "on the new version",
        "Read the image again and repeat your change on that.",
    ),
    errors.PreconditionMismatch: Advice(
        "The `If-Match` is stale: the image has changed since you read it.",
        "on the new version",
        "Read the image again and repeat your change on that.",
    ),
    errors.FileTooLarge: Advice(
        "The file, or the JSON, is larger than the limit that `message` names.",
        _NO,
        "Reduce the picture.",
    ),
    errors.UnsupportedMediaType: Advice(
        "The body is not of the type the route takes.",
        _NO,
        "Send `multipart/form-data` to POST, `application/json` to PATCH.",
    ),
    errors.IdempotencyKeyReused: Advice(
        "The key was used for another file or other fields.",
        "with a new key",
        "Make a key for each upload, and keep it for its repeats alone.",
    ),
    errors.VersionRequired: Advice(
        "The change does not say which version it is of.",
        _NO,
        "Send `version` in the body, or the ETag in `If-Match`.",
    ),
    errors.RateLimitExceeded: Advice(
        "The user has made too many requests in a time, or has too many in progress at once.",
        _LATER,
        "Wait `retryAfter` seconds; spread the requests by `X-RateLimit-Remaining`, and send "
        "fewer side by side.",
    ),
    errors.ProcessingFailed: Advice(
        "The picture could not be processed in time; nothing was stored.",
        _ONCE,
        "If it fails again, save the picture again, or smaller.",
    ),
    errors.ImageServiceError: Advice(
        "Something went wrong on our side.", _ONCE, "Report the `requestId`."
    ),
    errors.Overloaded: Advice(
        "Too many pictures are being processed.",
        _LATER,
        "Repeat the upload with the same `Idempotency-Key`.",
    ),
    errors.DependencyUnavailable: Advice(
        "A storage system is unavailable. After a change `message` may say that it is unknown "
        "whether it was made.",
        _LATER,
        "Repeat an upload with the same `Idempotency-Key`, an edit with the same `If-Match`.",
    ),
    errors.AuthUnavailable: Advice(
        "Tokens can't be checked at the moment.",
        _LATER,
        "Keep the token: nothing is wrong with it.",
    ),
}

CODES: Final = tuple(dict.fromkeys(kind.code for kind in CATALOGUE))
