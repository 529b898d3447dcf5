"""Processing that is timed."""

from __future__ import annotations

from time import perf_counter

from image_service.domain.pictures import ProcessedImage, SourceInfo
from image_service.ports import ImageProcessor, Spent, spent_by_nobody
from image_service.telemetry.observers import PictureObserver


class TimedProcessor:
    """An `ImageProcessor` that tells how long another one took over what it could process."""

    def __init__(self, inner: ImageProcessor, observer: PictureObserver) -> None:
        self._inner = inner
        self._observer = observer

    async def inspect(self, data: bytes) -> SourceInfo:
        started = perf_counter()
        source = await self._inner.inspect(data)
        self._observer.processed("header", perf_counter() - started)
        return source

    async def process(
        self, data: bytes, source: SourceInfo, spent: Spent = spent_by_nobody
    ) -> ProcessedImage:
        started = perf_counter()
        processed = await self._inner.process(data, source, spent)
        self._observer.processed("pixels", perf_counter() - started)
        return processed
