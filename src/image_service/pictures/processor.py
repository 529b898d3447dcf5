"""The image processor as the services know it: threads that drive child processes.

Headers are read here, in Python. All else happens in children (`child`), one a worker
thread, which the kernel limits and the thread can kill: what a decoder does to its process
costs that one picture.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from time import monotonic
from typing import Any, Final

import structlog

from image_service.domain import errors
from image_service.domain.pictures import EncodedPicture, ProcessedImage, SourceInfo
from image_service.domain.renditions import RenditionSpec
from image_service.pictures.header import PictureLimits, read_header
from image_service.pictures.verdicts import (
    OUT_OF_MEMORY,
    Loss,
    address_limit,
    of_loss,
    of_response,
)
from image_service.pictures.worker_child import (
    COMMAND,
    START_SECONDS,
    ChildLost,
    ChildNotStarted,
    WorkerChild,
)
from image_service.ports import Spent, ignore_spent
from image_service.telemetry.telemetry import Telemetry

log = structlog.stdlib.get_logger(__name__)

# Failures in a row, over all workers, after which the process is not live any more.
_FAILED_STARTS: Final = 5
# CPU that a new child takes; and the least that a picture which loses one counts as, or
# cancelled pictures would hold workers up at no cost.
_CHILD_SECONDS, _LEAST_SECONDS = 0.5, 2.0

_Steps = list[tuple[str, float]]
_Outcome = tuple[ProcessedImage, _Steps]


class VipsProcessor:
    """ImageProcessor on libvips, which runs in child processes only.

    `worker_threads` pictures are processed at a time, the others wait; how many may wait
    is decided by who calls. `close` ends threads and children.
    """

    def __init__(
        self,
        *,
        limits: PictureLimits,
        worker_threads: int,
        telemetry: Telemetry | None = None,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._telemetry = telemetry or Telemetry()
        self._limits = limits
        self._command = command
        self._threads = worker_threads
        self._workers = ThreadPoolExecutor(worker_threads, thread_name_prefix="picture")
        self._of_thread = threading.local()
        self._children: set[WorkerChild] = set()
        self._failed_starts = 0
        self._closing = False
        # Headers take about a millisecond, and are asked for while all workers are busy.
        self._header_reader = ThreadPoolExecutor(1, thread_name_prefix="picture-header")

    async def start(self) -> None:
        """Start every thread's child. Raises ChildNotStarted, with what it says of libvips."""
        together = threading.Barrier(self._threads, timeout=START_SECONDS)
        loop = asyncio.get_running_loop()
        starting: list[asyncio.Future[None]] = []
        try:
            for _ in range(self._threads):
                start = loop.run_in_executor(self._workers, self._start_first, together)
                starting.append(start)  # those before one that fails are kept
            await asyncio.gather(*starting)
        except RuntimeError as failure:  # a child's, or the system has no thread left
            together.abort()
            await asyncio.gather(*starting, return_exceptions=True)
            raise ChildNotStarted(str(failure)) from None

    def is_live(self) -> bool:
        """False once child after child can't be started any more."""
        return self._failed_starts < _FAILED_STARTS

    async def inspect(self, data: bytes) -> SourceInfo:
        with self._telemetry.part("header"):
            return await asyncio.get_running_loop().run_in_executor(
                self._header_reader, read_header, data, self._limits
            )

    async def process(
        self,
        data: bytes,
        source: SourceInfo,
        renditions: Sequence[RenditionSpec],
        spent: Spent = ignore_spent,
    ) -> ProcessedImage:
        """Cancelled, it kills the picture's child, and returns when its memory is free."""
        picture = _Picture(data, source, renditions)
        outcome = self._submit(picture)
        with self._telemetry.part("pixels"):
            try:
                made, steps = await asyncio.shield(outcome)
            except asyncio.CancelledError:
                picture.stop()
                outcome.add_done_callback(_of_no_interest)
                while not outcome.done():  # cancelled again, it still has its child and its memory
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([outcome])
                raise
            finally:
                spent(picture.cpu_seconds)
            self._trace(steps)
        return made

    def close(self) -> None:
        """Wait for the pictures that are being processed; drop those that wait."""
        self._closing = True
        self._header_reader.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)
        for child in self._children:
            child.close()

    def _start_first(self, together: threading.Barrier) -> None:
        together.wait()  # or a quick thread would take another's turn
        self._child()

    def _child(self) -> WorkerChild:
        """The calling thread's own. Raises ChildNotStarted."""
        child: WorkerChild | None = getattr(self._of_thread, "child", None)
        if child is not None and child.has_ended():  # since its last picture; no error of the next
            log.error("picture_child_ended", exit=self._lose(child))
            child = None
        if child is None:
            try:
                child = WorkerChild(self._command)
            except ChildNotStarted as failure:
                self._failed_starts += 1
                log.error("picture_child_not_started", cause=str(failure))  # noqa: TRY400
                raise
            self._failed_starts = 0
            self._of_thread.child = child
            self._children.add(child)
        return child

    def _submit(self, picture: _Picture) -> asyncio.Future[_Outcome]:
        """Have a worker see to it. The result is there before a lost child is replaced."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_Outcome] = loop.create_future()

        def work() -> None:
            settle: Callable[[], object]
            try:
                if picture.stopped:  # while it waited: no child has to end for it
                    settle = outcome.cancel
                else:
                    settle = partial(outcome.set_result, self._run(picture))
            except errors.ImageServiceError as error:
                settle = partial(outcome.set_exception, error)
            except Exception:  # the picture's upload must not wait for ever
                log.exception("picture_failed")
                settle = partial(outcome.set_exception, errors.ProcessingFailed())
                self._lose_own()  # who knows what it is about to send
            loop.call_soon_threadsafe(settle)
            self._replace_lost()

        def dropped(job: Future[None]) -> None:
            if job.cancelled():  # by `close`
                loop.call_soon_threadsafe(outcome.cancel)

        self._workers.submit(work).add_done_callback(dropped)
        return outcome

    def _run(self, picture: _Picture) -> _Outcome:
        """The child's response. Raises the picture's error."""
        try:
            child = self._child()
        except ChildNotStarted:
            raise errors.Overloaded from None
        began = monotonic()
        try:
            with picture.within(self._limits.timeout, child):
                head, body = child.ask(self._request(picture), picture.data)
        except ChildLost as lost:
            self._lose(child)
            raise self._lost(lost, picture, monotonic() - began) from None
        if picture.stopped:  # just as it responded; or the kill would be the next picture's
            self._lose(child)
        picture.cpu_seconds = float(head["cpuSeconds"])
        if "error" in head:
            if head["error"] == OUT_OF_MEMORY:  # who knows in what state it is
                self._lose(child)
            raise of_response(head, picture.source)
        return _result(picture, head, body), [
            (str(name), float(took)) for name, took in head["steps"]
        ]

    def _lost(self, lost: ChildLost, picture: _Picture, seconds: float) -> errors.ImageServiceError:
        """The error of a picture whose child ended after `seconds`; and counts what it cost."""
        used = lost.cpu_seconds
        if used is None:  # by the clock, for want of the system's word
            used = min(seconds, self._limits.cpu_seconds)
        loss = Loss(lost.returncode, seconds, used, picture.late, picture.stopped)
        error = of_loss(loss, picture.source, self._limits)
        least = 0.0 if isinstance(error, errors.Overloaded) else _LEAST_SECONDS
        picture.cpu_seconds = max(used + _CHILD_SECONDS, least)
        return error

    def _lose(self, child: WorkerChild) -> int:
        """End the thread's child; its exit code."""
        self._children.discard(child)
        self._of_thread.child = None
        return child.close()

    def _lose_own(self) -> None:
        child: WorkerChild | None = getattr(self._of_thread, "child", None)
        if child is not None:
            self._lose(child)

    def _replace_lost(self) -> None:
        if not self._closing:
            with suppress(ChildNotStarted):  # the next picture tries again
                self._child()

    def _request(self, picture: _Picture) -> dict[str, Any]:
        return {
            "source": asdict(picture.source),
            "renditions": [asdict(spec) for spec in picture.renditions],
            "cpuSeconds": self._limits.cpu_seconds,
            "memoryBytes": address_limit(picture.source),
        }

    def _trace(self, steps: _Steps) -> None:
        """Add each step to the trace, by when it ended: the last one just now."""
        ago = sum(seconds for _, seconds in steps)
        for name, seconds in steps:
            ago -= seconds
            self._telemetry.step(name, seconds, ago)


class _Picture:
    """A picture on its way through a child, which any thread may kill for it."""

    def __init__(
        self, data: bytes, source: SourceInfo, renditions: Sequence[RenditionSpec]
    ) -> None:
        self.data = data
        self.source = source
        self.renditions = renditions
        self.late = False
        self.cpu_seconds = 0.0
        self._lock = threading.Lock()
        self.stopped = False
        self._child: WorkerChild | None = None

    @contextmanager
    def within(self, seconds: float, child: WorkerChild) -> Iterator[None]:
        """Around what `child` does for it; killed past that time, or by `stop`."""
        clock = threading.Timer(seconds, self._expire)
        clock.daemon = True
        with self._lock:
            self._child = child
            if self.stopped:
                child.kill()
        clock.start()
        try:
            yield
        finally:
            clock.cancel()
            with self._lock:  # from now on the child is another picture's
                self._child = None

    def stop(self) -> None:
        with self._lock:
            if self._child is not None and not self.stopped:
                self._child.kill()
            self.stopped = True

    def _expire(self) -> None:
        self.late = True
        self.stop()


def _of_no_interest(outcome: asyncio.Future[_Outcome]) -> None:
    """Retrieve the error of a picture that no request waits for; else the loop would log it."""
    if not outcome.cancelled():
        outcome.exception()


def _result(picture: _Picture, head: dict[str, Any], body: bytes) -> ProcessedImage:
    specs = {spec.name: spec for spec in picture.renditions}
    made, start = {}, 0
    for name, length, width, height in head["pictures"]:
        made[name] = EncodedPicture(specs[name], body[start : start + length], width, height)
        start += length
    return ProcessedImage(
        pictures=made, placeholder=head["placeholder"], dominant_color=head["dominantColor"]
    )
