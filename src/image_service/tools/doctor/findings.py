"""Findings of the checks, each with its verdict and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # the service runs, but not as it should
    ONLY_AWS = "only_aws"  # missing, and of no use where there is no AWS
    FAILED = "failed"  # something the service needs, or was configured to use, does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. `remedy` is None exactly where all is well.

    Holds no secret and no text of a vendor's, which may quote some.
    """

    verdict: Verdict
    detail: str
    remedy: str | None = None
    check: str = ""

    def of(self, check: str) -> Finding:
        return replace(self, check=check)


def well(detail: str) -> Finding:
    return Finding(Verdict.OK, detail)


def warning(detail: str, remedy: str) -> Finding:
    return Finding(Verdict.WARNING, detail, remedy)


def failed(detail: str, remedy: str) -> Finding:
    return Finding(Verdict.FAILED, detail, remedy)
