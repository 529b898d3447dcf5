"""The run of all checks, once, on request of the operator."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from image_service.tools.doctor.aws_errors import AwsError
from image_service.tools.doctor.diagnosis import Diagnosis, failed

TIMEOUT: Final = 10.0  # seconds a check


class SystemCheck(Protocol):
    """A look at one system. `name` stands on its line where it can't say more itself."""

    @property
    def name(self) -> str: ...

    async def examine(self) -> Sequence[Diagnosis]:
        """At least one. Holds no secret and no text of a vendor's, which may quote some.

        Raises AwsError with the only one, where a call that all others need fails.
        """
        ...


class Doctor:
    """Runs all checks beside each other; none of them can hold up or end another."""

    def __init__(self, checks: Sequence[SystemCheck], *, timeout: float = TIMEOUT) -> None:
        self._checks = checks
        self._timeout = timeout

    async def examine(self) -> list[Diagnosis]:
        """In the order of the checks."""
        found = await asyncio.gather(*(self._run(check) for check in self._checks))
        return [diagnosis for diagnoses in found for diagnosis in diagnoses]

    async def _run(self, check: SystemCheck) -> Sequence[Diagnosis]:
        try:
            async with asyncio.timeout(self._timeout):
                return await check.examine()
        except AwsError as error:
            return [error.diagnosis]
        except TimeoutError:
            detail = f"no response within {self._timeout:g} s"
            return [failed(check.name, detail, "look at the network between here and there")]
        except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
            kind = type(error).__name__  # not its text, which may hold anything
            detail = f"the check itself failed ({kind} at {_place(error)})"
            return [failed(check.name, detail, "it is a bug, or an odd server: report this line")]


def _place(error: Exception) -> str:
    """The calls that led to it, the last one first. All of a traceback that holds no secret."""
    calls = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(call.filename).name}:{call.lineno}" for call in reversed(calls))
