"""Errors of settings, a line for each."""

from __future__ import annotations

from pydantic import ValidationError


class SettingsError(Exception):
    """The service can't start; one line for each error."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def errors_in(error: ValidationError, prefix: str) -> list[str]:
    """Returns a line for each error of a model whose variables have that prefix."""
    return [_described(dict(found), prefix) for found in error.errors()]


def _described(found: dict[str, object], prefix: str) -> str:
    """The variable and what is wrong with it; never its value, which may be a secret."""
    location = found["loc"]
    names = [str(part) for part in location] if isinstance(location, tuple) else []
    name = prefix + (names[0].upper() if names else "*")
    if found["type"] == "missing":
        return f"{name} is not set; it is required"
    return f"{name}: {str(found['msg']).removeprefix('Value error, ')}"
