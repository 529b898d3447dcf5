"""A collector of field errors: reports all errors of one request at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from image_service.domain.errors import ValidationFailed
from image_service.domain.fields import FieldError

T = TypeVar("T")


class FieldErrors:
    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, message: str) -> None:
        self._found.append((field, message))

    def check(self, field: str, clean: Callable[[], T]) -> T | None:
        """Returns what `clean` returns; None where it raised FieldError, which is kept."""
        try:
            return clean()
        except FieldError as error:
            self.add(field, str(error))
            return None

    def raise_if_any(self) -> None:
        if self._found:
            raise ValidationFailed(self._found)


@contextmanager
def collected_errors() -> Iterator[FieldErrors]:
    """Raises ValidationFailed at the end of the block where any error was found."""
    errors = FieldErrors()
    yield errors
    errors.raise_if_any()
