"""The image processor as the services know it: worker threads around the pipeline."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from image_service.pictures import pipeline
from image_service.pictures.library import configure
from image_service.pictures.limits import EncodingOptions, PictureLimits
from image_service.pictures.probe import probe
from image_service.pictures.timed_steps import TimedSteps
from image_service.ports import ProcessedImage, SourceInfo
from image_service.telemetry.observers import Nobody, StepObserver


class VipsProcessor:
    """ImageProcessor on libvips, which gives up the interpreter lock while it works.

    `worker_threads` pictures are processed at a time, the others wait; how many may wait
    is decided by who calls. `close` ends the threads.
    """

    def __init__(
        self,
        *,
        limits: PictureLimits,
        options: EncodingOptions,
        worker_threads: int,
        observer: StepObserver | None = None,
    ) -> None:
        configure()
        self._observer = observer or Nobody()
        self._limits = limits
        self._options = options
        self._workers = ThreadPoolExecutor(worker_threads, thread_name_prefix="picture")
        # Headers take about a millisecond, and are asked for while all workers are busy.
        self._header_reader = ThreadPoolExecutor(1, thread_name_prefix="picture-header")

    async def inspect(self, data: bytes) -> SourceInfo:
        return await asyncio.get_running_loop().run_in_executor(
            self._header_reader, probe, data, self._limits
        )

    async def process(self, data: bytes, source: SourceInfo) -> ProcessedImage:
        """Cancelled, it stops the picture, and returns when the picture's memory is free."""
        steps = TimedSteps(self._options.timeout, self._observer)
        work = partial(pipeline.process, data, source, self._options, steps)
        # In the context of the request, of which the steps are part.
        working = asyncio.get_running_loop().run_in_executor(
            self._workers, copy_context().run, work
        )
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            steps.stop()
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()  # of no interest any more; else the loop would log it
            raise

    def close(self) -> None:
        """Wait for the pictures that are being processed; drop those that wait."""
        self._header_reader.shutdown(cancel_futures=True)
        self._workers.shutdown(cancel_futures=True)
