"""A diagnosis: one finding of a check, its verdict and its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # the service runs, but not as it should
    ONLY_AWS = "only_aws"  # missing, and of no use where there is no AWS
    FAILED = "failed"  # something the service needs, or was configured to use, does not work


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the doctor's. `remedy` is None exactly where all is well."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str | None = None


def well(check: str, detail: str) -> Diagnosis:
    return Diagnosis(check, Verdict.OK, detail)


def warning(check: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, Verdict.WARNING, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, Verdict.FAILED, detail, remedy)


@dataclass(frozen=True, slots=True)
class Stakes:
    """How grave it is where a protection is missing."""

    production: bool
    emulated: bool  # no AWS at all: nothing of worth is kept there

    def missing(self, check: str, detail: str, remedy: str, *, grave: bool = False) -> Diagnosis:
        """Failed in production, or anywhere on AWS where it is `grave`; else a warning.

        On an emulator it is neither.
        """
        if self.emulated:
            return Diagnosis(check, Verdict.ONLY_AWS, detail, remedy)
        if self.production or grave:
            return failed(check, detail, remedy)
        return warning(check, detail, remedy)
