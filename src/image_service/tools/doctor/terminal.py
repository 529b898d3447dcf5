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
from image_service.settings import (
    Settings,
    SettingsError,
    ignored_settings,
    load_settings,
    load_trace_settings,
)
from image_service.tools.doctor.checks import PRODUCTION, open_doctor
from image_service.tools.doctor.diagnosis import Diagnosis, Verdict, failed, warning, well

T = TypeVar("T")

_LOOK: Final = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.ONLY_AWS: ("·", "bright_black"),
}
_PLAIN: Final = {
    Verdict.OK: "+",
    Verdict.WARNING: "!",
    Verdict.FAILED: "x",
    Verdict.ONLY_AWS: "-",
}
_SETTINGS: Final = "settings"
_UNREADABLE: Final = 2
_WHERE: Final = "set it in the environment; docs/settings.md lists all settings"


class Unreadable(Exception):
    """The settings can't be read, so nothing else can be looked at."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.findings = [failed(_SETTINGS, text, _WHERE) for text in texts]
        super().__init__(*texts)


def run(*, write: bool, as_json: bool) -> int:
    """Print all findings, and return the status to exit with."""
    try:
        findings, status = asyncio.run(examine(write=write)), None
    except Unreadable as error:
        findings, status = error.findings, _UNREADABLE
    if as_json:
        sys.stdout.write(to_json(findings) + "\n")
    else:
        print_lines(findings, Console())
    return status or (0 if is_healthy(findings) else 1)


async def examine(*, write: bool) -> list[Diagnosis]:
    """All findings, in a fixed order. Raises Unreadable, with all errors of the settings."""
    settings = _settings()
    try:
        async with open_doctor(settings, write=write) as doctor:
            return [*_on_settings(settings), *await doctor.examine()]
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


def _on_settings(settings: Settings) -> list[Diagnosis]:
    found = [well(_SETTINGS, f"stage {settings.stage}, all can be read")]
    found += [warning(_SETTINGS, line, "remove it") for line in ignored_settings()]
    if settings.stage == PRODUCTION and not settings.cors_origins:
        detail = "no origin is let in: web apps elsewhere can't call the service"
        found.append(warning("cors", detail, "list them in IMAGE_SERVICE_CORS_ORIGINS"))
    return found


def print_lines(findings: Sequence[Diagnosis], console: Console) -> None:
    """A finding a line, however long: to be read, and to be grepped.

    What only AWS could have is one line for all of it.
    """
    plain = not console.encoding.lower().startswith("utf")
    shown = [finding for finding in findings if finding.verdict is not Verdict.ONLY_AWS]
    only_aws = [finding.check for finding in findings if finding.verdict is Verdict.ONLY_AWS]
    if only_aws:
        shown.append(Diagnosis("only on AWS", Verdict.ONLY_AWS, ", ".join(only_aws)))
    width = max(len(finding.check) for finding in shown)
    for finding in shown:
        mark, color = _LOOK[finding.verdict]
        line = Text(_PLAIN[finding.verdict] if plain else mark, style=f"bold {color}")
        line.append(f" {finding.check:<{width}}  ", style="bold")
        grey = finding.verdict is Verdict.ONLY_AWS
        line.append(finding.detail, style=color if grey else "default")
        if finding.remedy is not None:
            line.append(f" -> {finding.remedy}" if plain else f" → {finding.remedy}", style=color)
        console.print(line, soft_wrap=True, highlight=False)


def to_json(findings: Sequence[Diagnosis]) -> str:
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


def is_healthy(findings: Sequence[Diagnosis]) -> bool:
    """Warnings don't count."""
    return all(finding.verdict is not Verdict.FAILED for finding in findings)
