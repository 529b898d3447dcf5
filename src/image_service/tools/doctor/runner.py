"""Checks, the systems they look at, and their run beside each other."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings
from image_service.tools.doctor.errors import aws_error
from image_service.tools.doctor.findings import Finding, Verdict, failed

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront.client import CloudFrontClient
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client

TIMEOUT: Final = 10.0  # seconds a check


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """Everything the checks look at."""

    settings: Settings
    times: TimeLimits
    production: bool
    emulated: bool  # no AWS at all: nothing of worth is kept there
    session: Any  # aioboto3 has no types
    dynamodb: DynamoDBClient
    s3: S3Client
    cloudfront: CloudFrontClient | None  # None: no distribution is set
    http: httpx.AsyncClient

    def missing(self, detail: str, remedy: str) -> Finding:
        """Returns the finding where a protection is: on an emulator it is none."""
        return Finding(Verdict.ONLY_AWS if self.emulated else Verdict.FAILED, detail, remedy)


Look = Callable[[Systems], Awaitable[Finding | Sequence[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """A look at one thing. An AWS error that it raises becomes its finding.

    `then` are checks that mean something only where all is well with this one; one that `writes`
    runs on request only.
    """

    name: str
    look: Look
    then: tuple[Check, ...] = ()
    writes: bool = False


async def examine(
    checks: Sequence[Check], systems: Systems, *, within: float = TIMEOUT
) -> list[Finding]:
    """Returns what is found, in the order of the checks; none can hold up or end another."""
    found = await asyncio.gather(*(_examined(check, systems, within) for check in checks))
    return [finding for findings in found for finding in findings]


async def _examined(check: Check, systems: Systems, within: float) -> list[Finding]:
    found = [finding.of(check.name) for finding in await _looked(check, systems, within)]
    if all(finding.remedy is None for finding in found):
        found += await examine(check.then, systems, within=within)
    return found


async def _looked(check: Check, systems: Systems, within: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(within):
            found = await check.look(systems)
    except (BotoCoreError, ClientError) as error:
        return [aws_error(error)]
    except TimeoutError:
        detail = f"no response within {within:g} s"
        return [failed(detail, "look at the network between here and there")]
    except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
        kind = type(error).__name__  # not its text, which may hold anything
        detail = f"the check itself failed ({kind} at {_place(error)})"
        return [failed(detail, "it is a bug, or an odd server: report this line")]
    return [found] if isinstance(found, Finding) else found


def _place(error: Exception) -> str:
    """The calls that led to it, the last one first. All of a traceback that holds no secret."""
    calls = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(call.filename).name}:{call.lineno}" for call in reversed(calls))
