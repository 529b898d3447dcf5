"""Commands of image-service, run in the process of the tests.

As `image-service …` is typed, but that a process of its own takes a second of CPU to import what
the tests have imported. tests/e2e runs the real ones.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import NamedTuple
from unittest import mock

from typer.testing import CliRunner

from image_service.cli import cli


class Ended(NamedTuple):
    status: int
    out: str
    err: str


async def run(environment: Mapping[str, str], *arguments: str) -> Ended:
    """In a thread, because the commands have event loops of their own."""
    return await asyncio.to_thread(_run, environment, arguments)


def _run(environment: Mapping[str, str], arguments: tuple[str, ...]) -> Ended:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        # Loggers keep what they were first configured with: a second set-up would divide them.
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch("structlog.configure"),
            mock.patch("image_service.pictures.confinement.hide_from_children"),
        ):
            result = CliRunner().invoke(cli, arguments)
    finally:  # a command sets up a log of its own, which went to what it printed
        root.handlers[:] = handlers
        root.setLevel(level)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
