"""The errors of the service, in the words of the domain.

`code` is stable and for programs; `message` is public and for people, and so never holds
a secret, an internal name or a vendor's error text. Classes without a code of their own group
others, or distinguish for the service what is one to clients. All else that clients see of
an error, its HTTP status for one, is its row in `api/error_table.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

MAX_FIELD_ERRORS = 20
_MAX_ERROR_CHARACTERS = 300

Details = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def _cut(text: str) -> str:
    if len(text) <= _MAX_ERROR_CHARACTERS:
        return text
    return f"{text[:_MAX_ERROR_CHARACTERS]}…"


class ImageServiceError(Exception):
    """Any failure that the service reports with one of its own codes."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    reason: ClassVar[str] = ""  # what logs and metrics call it, where the code is not enough
    default_message: ClassVar[str] = "Something went wrong on our side; try again later."
    retry_after: int | None = None  # seconds to wait, where the same request may then succeed

    def __init__(self, message: str | None = None, *, details: Details = None) -> None:
        self.message = message or self.default_message
        self.details = details
        super().__init__(self.message)


class InvalidRequest(ImageServiceError):
    """The request can't be carried out as it is; repeating it unchanged will not help."""


class ValidationFailed(InvalidRequest):
    """One or more fields break their rule. `details` is a list of `{field, message}`."""

    code = "VALIDATION_FAILED"

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        # A body of thousands of errors must not make a response larger than itself.
        self.errors = tuple(
            (_cut(field), _cut(message)) for field, message in errors[:MAX_FIELD_ERRORS]
        )
        unnamed = len(errors) - len(self.errors)
        super().__init__(
            "; ".join(f"{field}: {message}" for field, message in self.errors)
            + (f"; and {unnamed} more" if unnamed else ""),
            details=[{"field": field, "message": message} for field, message in self.errors],
        )


class InvalidFileType(InvalidRequest):
    code = "INVALID_FILE_TYPE"
    default_message = "Only JPEG, PNG and WebP images are supported"


class InvalidImage(InvalidRequest):
    """The file has the signature of a supported type, but is corrupt or truncated."""

    code = "INVALID_IMAGE"
    default_message = (
        "The image is corrupt or truncated; open it in an image editor, save it again and retry."
    )


class InvalidDimensions(InvalidRequest):
    code = "INVALID_DIMENSIONS"


class AnimatedImage(InvalidRequest):
    code = "ANIMATED_IMAGE"
    default_message = "Animated images are not supported; upload a single still picture."


class ImageTooComplex(InvalidRequest):
    """Processing the picture took more than any picture may take, or ended its process."""

    code = "IMAGE_TOO_COMPLEX"
    remedy: ClassVar[str] = (
        "Open it in an image editor, save it as a plain JPEG or PNG, and upload that."
    )
    default_message = f"The picture takes too much to process. {remedy}"

    @classmethod
    def because(cls, cause: str, **figures: tuple[float, float]) -> Self:
        """`cause` in a sentence, `figures` (measured, limit) by name."""
        return cls(
            f"{cause} {cls.remedy}",
            details={
                "measured": {name: measured for name, (measured, _) in figures.items()},
                "limit": {name: limit for name, (_, limit) in figures.items()},
            },
        )


class FileRequired(InvalidRequest):
    code = "FILE_REQUIRED"
    default_message = "The form has no picture; send it as a part named 'file'."


class InvalidCursor(InvalidRequest):
    code = "INVALID_CURSOR"
    default_message = (
        "The cursor is not valid for these filters; "
        "start again without it, and keep the filters the same from page to page."
    )


class MalformedBody(InvalidRequest):
    code = "MALFORMED_BODY"


class Unauthenticated(ImageServiceError):
    """The request has no valid token."""


class TokenMissing(Unauthenticated):
    code = "TOKEN_MISSING"
    default_message = (
        "The request has no Authorization header; "
        "send your access or ID token as 'Authorization: Bearer <token>'."
    )


class TokenInvalid(Unauthenticated):
    code = "TOKEN_INVALID"
    default_message = "The token is not valid for this service; sign in again."


class TokenExpired(Unauthenticated):
    code = "TOKEN_EXPIRED"
    default_message = "The token has expired; refresh it or sign in again."


class NotAuthorized(ImageServiceError):
    code = "NOT_AUTHORIZED"
    default_message = "The image belongs to another user."


class ScopeMissing(ImageServiceError):
    """A machine's token lacks the scope that the request needs."""

    code = "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"The token has no scope {scope}; ask the token endpoint for it, and see that the app "
            "client may have it.",
            details={"scope": scope},
        )


class ImageNotFound(ImageServiceError):
    code = "IMAGE_NOT_FOUND"
    default_message = "There is no such image, or it has been deleted."


class FileTooLarge(ImageServiceError):
    code = "FILE_TOO_LARGE"


class UnsupportedMediaType(ImageServiceError):
    code = "UNSUPPORTED_MEDIA_TYPE"


class VersionRequired(ImageServiceError):
    code = "VERSION_REQUIRED"
    default_message = (
        "The request does not say which version it changes; "
        "send 'version' in the body, or the image's ETag in 'If-Match'."
    )


class VersionMismatch(ImageServiceError):
    """The image has changed since the caller read it."""

    code = "VERSION_MISMATCH"

    def __init__(self, current_version: int, *, contended: bool = False) -> None:
        self.current_version = current_version
        happened = "keeps being changed by other requests" if contended else "has changed"
        super().__init__(
            f"The image {happened} and is now at version {current_version}; "
            "read it again and repeat your change on that."
        )


class PreconditionMismatch(VersionMismatch):
    """As `VersionMismatch`, where the stale version came as an `If-Match` header."""


class UploadTimeout(ImageServiceError):
    code = "UPLOAD_TIMEOUT"
    default_message = "The body came too slowly; try again on a better connection."


class IdempotencyInProgress(ImageServiceError):
    """The first request with this key is still being worked on."""

    code = "IDEMPOTENCY_IN_PROGRESS"

    def __init__(self, *, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            "A request with this Idempotency-Key is still in progress; "
            f"repeat it in {retry_after} s to get its response."
        )


class IdempotencyKeyReused(ImageServiceError):
    code = "IDEMPOTENCY_KEY_REUSED"
    default_message = (
        "This Idempotency-Key was used with another file or other fields; "
        "use a new key for a new upload."
    )


class RateLimitExceeded(ImageServiceError):
    code = "RATE_LIMIT_EXCEEDED"

    def __init__(self, *, limit: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"You have reached the limit of {limit}; try again in {retry_after} s.",
            details={"limit": limit},
        )


class TooManyInFlight(RateLimitExceeded):
    """One caller has as many requests in progress as one may have.

    All who send no token are one caller, `anonymous`.
    """

    def __init__(
        self, measured: int, limit: int, *, of: str = "requests", anonymous: bool = False
    ) -> None:
        super().__init__(limit=f"{limit} {of} in progress at once", retry_after=1)
        who = "Callers without a token" if anonymous else "You"
        self.message = (
            f"{who} have {measured} {of} in progress at once, and the limit is {limit}; "
            "wait for some of them to end before you send more."
        )
        self.details = {"measured": measured, "limit": limit}


class ProcessingFailed(ImageServiceError):
    code = "IMAGE_PROCESSING_FAILED"
    default_message = "The image could not be processed; nothing was stored, try again later."


class Unavailable(ImageServiceError):
    """A passing error: the same request may succeed after `retry_after` seconds."""

    default_retry_after: ClassVar[int] = 1

    def __init__(self, message: str | None = None, *, retry_after: int | None = None) -> None:
        self.retry_after = retry_after or self.default_retry_after
        super().__init__(message)


class Overloaded(Unavailable):
    code = "OVERLOADED"
    default_message = "Too many pictures are being processed at the moment; try again shortly."
    default_retry_after = 2


class DependencyUnavailable(Unavailable):
    code = "DEPENDENCY_UNAVAILABLE"
    default_message = "A storage system does not respond; nothing was lost, try again shortly."


class CdnBusy(DependencyUnavailable):
    """The CDN takes no more invalidations until some of those in progress are done."""


class CdnRefused(DependencyUnavailable):
    """The CDN refuses some of the paths, or their number; asking again is no use."""


class Contended(DependencyUnavailable):
    """Nothing was written, because others kept writing the same items."""


class OutcomeUnknown(DependencyUnavailable):
    """The store did not say whether the write happened: do not undo what it refers to."""

    default_message = (
        "A storage system did not respond in time, and the change may or may not have been made; "
        "look before you repeat it."
    )


class AuthUnavailable(Unavailable):
    code = "AUTH_UNAVAILABLE"
    default_message = "Tokens can't be checked at the moment; try again shortly."
    default_retry_after = 5


class TooManyUnknownKeys(AuthUnavailable):
    """As many tokens as may wait for the next set of keys do: forged ones, or there is none yet."""

    reason = "TOO_MANY_UNKNOWN_KEYS"
