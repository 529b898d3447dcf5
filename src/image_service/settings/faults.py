"""Faults of settings, told in a line each."""

from __future__ import annotations

from pydantic import ValidationError


class SettingsError(Exception):
    """The service can't start; one line for each error."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


def faults_in(error: ValidationError, prefix: str) -> list[str]:
    """Returns a line for each error of a model whose variables have that prefix."""
    return [_fault(dict(fault), prefix) for fault in error.errors()]


def _fault(fault: dict[str, object], prefix: str) -> str:
    """The variable and what is wrong with it; never its value, which may be a secret."""
    location = fault["loc"]
    names = [str(part) for part in location] if isinstance(location, tuple) else []
    name = prefix + (names[0].upper() if names else "*")
    if fault["type"] == "missing":
        return f"{name} is not set; it is required"
    return f"{name}: {str(fault['msg']).removeprefix('Value error, ')}"
