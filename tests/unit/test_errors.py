from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from image_service.api.errors import MethodNotAllowed, answer_for, envelope, error_response
from image_service.domain.errors import (
    ImageServiceError,
    TokenExpired,
    TokenMissing,
    VersionMismatch,
)

ROW = re.compile(r"^\| (\d{3}) \| (\w+) \| `(\w+)` \|", re.MULTILINE)


def kinds(base: type[ImageServiceError] = ImageServiceError) -> Iterator[type[ImageServiceError]]:
    """The root, and every class under it with a code of its own: the rest only group."""
    if base is ImageServiceError or base.code != ImageServiceError.code:
        yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_the_documented_errors_are_those_the_service_makes(repository_root: Path):
    documented = {
        (int(status), error, code)
        for status, error, code in ROW.findall((repository_root / "docs/errors.md").read_text())
    }
    made = {
        (answer_for(kind).status, answer_for(kind).error, kind.code)
        for kind in kinds()
        if kind.__module__.startswith("image_service")
    }
    assert documented == made


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
