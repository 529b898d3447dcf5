"""The log's way to stdout, which never makes its caller wait for the reader of stdout.

A pipe whose reader stops fills up, and the next write would hold the event loop for good. So a
line is written where there is room for it, at the price of asking first; else it waits in a
bounded backlog for a thread, and past the bound it is dropped and counted. Lines come here as
they will be read: what waits has no secrets any more.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import select
import sys
import threading
import time
from collections import deque
from typing import ClassVar, Final, TextIO

MAX_BACKLOG_BYTES: Final = 4 * 1024 * 1024  # lines of some ten thousand requests
_REPORTED_EVERY: Final = 60.0  # seconds
_LAST_SECONDS: Final = 2.0  # at the end of the process, for what waits


class LogOutput(logging.StreamHandler[TextIO]):
    """Lines to a stream; where that fails, stderr has the cause, and never the line itself.

    Python would print the event there as it was before anything was taken out of it.
    """

    dropped: ClassVar[int] = 0  # lines, since the process started

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._reported_at = -math.inf
        self._changed = threading.Condition()  # around all below; the handler's lock is logging's
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._unreported = 0  # dropped lines
        self._draining = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + self.terminator
            descriptor = _descriptor(self.stream)
            if descriptor is None:
                self.stream.write(text)
            else:
                self._write(descriptor, self._encoded(text))
        except Exception:  # noqa: BLE001  # as logging has it: nobody's work fails for a line
            self.handleError(record)

    def flush(self) -> None:
        """Wait for the backlog, within bounds: logging does so when the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._draining, _LAST_SECONDS)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # as logging has it
        cause = sys.exc_info()[0]
        self._report(cause.__name__ if cause else "unknown")

    def _write(self, descriptor: int, line: bytes) -> None:
        """Write at once what there is room for. Called by one thread at a time, as `emit` is."""
        if not self._draining and not self._backlog:  # only `_keep` changes that
            with contextlib.suppress(BlockingIOError):
                while line:
                    line = _rest(descriptor, line)
        if line and not self._keep(descriptor, line):
            self._report("stdout is not read")

    def _keep(self, descriptor: int, line: bytes) -> bool:
        """For the thread, which is started where there is none; False where there is no room."""
        with self._changed:
            if self._backlog and self._backlog_bytes + len(line) > MAX_BACKLOG_BYTES:
                LogOutput.dropped += 1
                self._unreported += 1
                return False
            self._backlog.append(line)
            self._backlog_bytes += len(line)
            if not self._draining:
                threading.Thread(target=self._drain, args=[descriptor], daemon=True).start()
                self._draining = True
            return True

    def _drain(self, descriptor: int) -> None:
        while (line := self._next()) is not None:
            try:
                while line:
                    with contextlib.suppress(BlockingIOError):  # where it is set not to block
                        line = _rest(descriptor, line, wait=None)
            except OSError as error:
                self._report(type(error).__name__)

    def _next(self) -> bytes | None:
        """Of the backlog; after its last line how many were dropped; then None."""
        with self._changed:
            if self._backlog:
                line = self._backlog.popleft()
                self._backlog_bytes -= len(line)
                return line
            if self._unreported:
                unreported, self._unreported = self._unreported, 0
                return self._dropped_line(unreported)
            self._draining = False
            self._changed.notify_all()
            return None

    def _dropped_line(self, dropped: int) -> bytes:
        """A line of our own, past `emit`, whose lock may be held by who waits in `flush`."""
        level = logging.ERROR  # audit lines may be among them
        facts = {"name": __name__, "levelno": level, "levelname": logging.getLevelName(level)}
        record = logging.makeLogRecord(facts | {"msg": "log_lines_dropped", "lines": dropped})
        return self._encoded(self.format(record) + self.terminator)

    def _encoded(self, text: str) -> bytes:
        return text.encode(self.stream.encoding, "backslashreplace")

    def _report(self, cause: str) -> None:
        """To stderr, which may be the same pipe: only where it takes it at once."""
        now = time.monotonic()
        if now < self._reported_at + _REPORTED_EVERY:
            return
        self._reported_at = now
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text, descriptor = f"log lines are lost: {cause}\n", _descriptor(sys.stderr)
            if descriptor is None:
                sys.stderr.write(text)
            else:
                _rest(descriptor, text.encode())


def _descriptor(stream: TextIO) -> int | None:
    """None where it has none, as a text in memory. Raises ValueError where it is closed."""
    try:
        return stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None


def _rest(descriptor: int, line: bytes, wait: int | None = 0) -> bytes:
    """Write what a pipe with room takes without blocking; the rest of the line.

    `wait` None: for room. Else raises BlockingIOError where there is none.
    """
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    if not room.poll(wait):
        raise BlockingIOError
    return line[os.write(descriptor, line[: select.PIPE_BUF]) :]
