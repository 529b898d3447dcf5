from __future__ import annotations

from collections.abc import Iterator

from image_service.api.error_table import TABLE, MethodNotAllowed, row_for
from image_service.api.errors import envelope, error_response
from image_service.domain.errors import (
    CdnBusy,
    DependencyUnavailable,
    ImageServiceError,
    PreconditionMismatch,
    RateLimitExceeded,
    TokenExpired,
    TokenMissing,
    TooManyInFlight,
    ValidationFailed,
    VersionMismatch,
)


def kinds(base: type[ImageServiceError] = ImageServiceError) -> Iterator[type[ImageServiceError]]:
    """The classes of the service with a code of their own: the rest group or tell apart."""
    for kind in base.__subclasses__():
        if "code" in vars(kind) and kind.__module__.startswith("image_service"):
            yield kind
        yield from kinds(kind)


def test_every_error_has_a_row_of_its_own():
    assert {*kinds(), PreconditionMismatch, ImageServiceError} == TABLE.keys()


def test_an_error_that_is_told_apart_only_here_is_sent_as_the_one_it_refines():
    assert row_for(CdnBusy) == TABLE[DependencyUnavailable]
    assert row_for(TooManyInFlight) == TABLE[RateLimitExceeded]
    assert row_for(ValidationFailed) == TABLE[ValidationFailed]


def test_an_error_message_says_nothing_of_its_cause():
    error = ImageServiceError()
    error.__cause__ = RuntimeError("arn:aws:dynamodb:secret")
    assert "arn" not in str(envelope(error, "id"))


def test_the_headers_that_belong_to_a_status():
    assert error_response(TokenMissing(), "id").headers["www-authenticate"] == "Bearer"
    expired = error_response(TokenExpired(), "id").headers["www-authenticate"]
    assert expired == 'Bearer error="invalid_token"'
    assert error_response(MethodNotAllowed(["PATCH", "GET"]), "id").headers["allow"] == "GET, PATCH"
    assert envelope(VersionMismatch(4), "id")["currentVersion"] == 4
