"""`image-service doctor` at the terminal: a line for each finding, or JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from rich.console import Console
from rich.text import Text

from image_service.bootstrap import aws_session
from image_service.settings import Settings, SettingsError, load_settings, load_trace_settings
from image_service.tools.doctor.checks import CHECKS, open_systems
from image_service.tools.doctor.findings import Finding, Verdict, failed
from image_service.tools.doctor.runner import examine

T = TypeVar("T")

_LOOK: Final = {  # the mark, the plain one, the colour
    Verdict.OK: ("✓", "+", "green"),
    Verdict.WARNING: ("!", "!", "yellow"),
    Verdict.FAILED: ("✗", "x", "red"),
    Verdict.ONLY_AWS: ("·", "-", "bright_black"),
}
_UNREADABLE: Final = 2
_WHERE: Final = "set it in the environment; docs/settings.md lists all settings"


class Unreadable(Exception):
    """The settings can't be read, so nothing else can be looked at."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.findings = [failed(text, _WHERE).of("settings") for text in texts]
        super().__init__(*texts)


def run(*, write: bool, as_json: bool) -> int:
    """Print all findings, and return the status to exit with."""
    try:
        findings, status = asyncio.run(examined(write=write)), None
    except Unreadable as error:
        findings, status = error.findings, _UNREADABLE
    if as_json:
        sys.stdout.write(to_json(findings) + "\n")
    else:
        print_lines(findings, Console())
    return status or (0 if is_healthy(findings) else 1)


async def examined(*, write: bool) -> list[Finding]:
    """All findings, in a fixed order. Raises Unreadable, with all errors of the settings."""
    settings = _settings()
    try:
        async with open_systems(settings) as systems:
            checks = [check for check in CHECKS if write or not check.writes]
            return await examine(checks, systems)
    except SettingsError as error:
        raise Unreadable(error.errors) from None


def _settings() -> Settings:
    """All that `serve` reads: who fixes one error should not learn of the next only then."""
    texts: list[str] = []
    settings = _loaded(load_settings, texts)
    _loaded(aws_session, texts)
    _loaded(load_trace_settings, texts)
    if settings is None or texts:
        raise Unreadable(texts)
    return settings


def _loaded(load: Callable[[], T], texts: list[str]) -> T | None:
    try:
        return load()
    except SettingsError as error:
        texts += error.errors
        return None


def print_lines(findings: Sequence[Finding], console: Console) -> None:
    """A finding a line, however long: to be read, and to be grepped.

    What only AWS could have is one line for all of it.
    """
    plain = not console.encoding.lower().startswith("utf")
    shown = [finding for finding in findings if finding.verdict is not Verdict.ONLY_AWS]
    only_aws = [finding.check for finding in findings if finding.verdict is Verdict.ONLY_AWS]
    if only_aws:
        shown.append(Finding(Verdict.ONLY_AWS, ", ".join(only_aws), check="only on AWS"))
    width = max(len(finding.check) for finding in shown)
    for finding in shown:
        mark, plain_mark, color = _LOOK[finding.verdict]
        line = Text(plain_mark if plain else mark, style=f"bold {color}")
        line.append(f" {finding.check:<{width}}  ", style="bold")
        grey = finding.verdict is Verdict.ONLY_AWS
        line.append(finding.detail, style=color if grey else "default")
        if finding.remedy is not None:
            line.append(f" -> {finding.remedy}" if plain else f" → {finding.remedy}", style=color)
        console.print(line, soft_wrap=True, highlight=False)


def to_json(findings: Sequence[Finding]) -> str:
    content = {
        "healthy": is_healthy(findings),
        "findings": [
            {
                "check": finding.check,
                "status": finding.verdict.value,
                "detail": finding.detail,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }
    return json.dumps(content, indent=2)


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Warnings don't count."""
    return all(finding.verdict is not Verdict.FAILED for finding in findings)
