"""The log as it goes to stdout, to be looked at."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from structlog.stdlib import ProcessorFormatter

Line = dict[str, Any]
_SHOWN_LINES = 40
_SHOWN_CHARACTERS = 300


def shortened(text: str) -> str:
    """The end of an output, for the report of a failure: a traceback in JSON fills a screen."""
    lines = text.splitlines()
    shown = [
        f"{line[:_SHOWN_CHARACTERS]} … {len(line)} characters"
        if len(line) > _SHOWN_CHARACTERS
        else line
        for line in lines[-_SHOWN_LINES:]
    ]
    before = len(lines) - len(shown)
    return "\n".join([f"… {before} lines before", *shown] if before else shown) + "\n"


class Log:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[Line]:
        return [json.loads(line) for line in self.text.splitlines()]

    def saying(self, **facts: Any) -> list[Line]:
        return [line for line in self.lines if facts.items() <= line.items()]

    def of(self, response: httpx.Response, **facts: Any) -> list[Line]:
        """The lines of that request that say so."""
        return self.saying(**facts, request_id=response.headers["x-request-id"])


@contextmanager
def watched_log() -> Iterator[Log]:
    """What is written from here on."""
    root = logging.getLogger()
    ours = next(h for h in root.handlers if isinstance(h.formatter, ProcessorFormatter))
    written = Log()
    handler = logging.StreamHandler(written.stream)
    handler.setFormatter(ours.formatter)
    root.addHandler(handler)
    try:
        yield written
    finally:
        root.removeHandler(handler)
