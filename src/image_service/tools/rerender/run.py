"""A run over all images: page by page, some at a time, at a pace, with a place to go on from."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import BaseModel, Field

from image_service.domain.images import Image
from image_service.tools.checkpoints import Checkpoint
from image_service.tools.rerender.rerenderer import NotRendered, Outcome, Rerenderer
from image_service.tools.rerender.stores import ImagePage, Images

log = structlog.stdlib.get_logger(__name__)

_KEPT: Final = 1_000  # failures that are reported one by one; all are counted
_OUTAGE: Final = 20  # images in a row for which a store did not respond
_ITEMS_A_SECOND: Final = 2_000  # that are looked at


class Failure(BaseModel):
    """An image that is as it was, and why."""

    image_id: str
    reason: str


class Rerendering(Checkpoint):
    """The place of a run, and what it has done so far."""

    widths: tuple[int, ...]
    owner: str = Field(default_factory=lambda: str(uuid.uuid4()))
    looked_at: int = 0
    images: int = 0
    rendered: int = 0
    failed: int = 0
    failures: list[Failure] = Field(default_factory=list)

    def note(self, failure: Failure) -> None:
        self.failed += 1
        if len(self.failures) < _KEPT:
            self.failures.append(failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`rate` is images changed per second, of which `at_once` are under way together."""

    rate: float = 10.0
    at_once: int = 4


class Stopped(Exception):
    """The run was to stop; what was under way has ended."""


class Outage(Exception):
    """For image after image a store did not respond; no more are tried."""


Progress = Callable[[Rerendering], None]


class Run:
    """Brings all images to the table. `stop` may be set at any moment."""

    def __init__(
        self, images: Images, rerenderer: Rerenderer, options: Options, stop: asyncio.Event
    ) -> None:
        self._images = images
        self._rerenderer = rerenderer
        self._pace = _Pace(options.rate, stop)
        self._places = asyncio.Semaphore(options.at_once)
        self._stop = stop
        self._outage = 0

    async def size(self) -> int:
        """About how many items it will look at."""
        return await self._images.size()

    async def go(self, state: Rerendering, progress: Progress) -> None:
        """Go on from `state` to the end; `progress` is called first of all, and as it changes.

        Raises DependencyUnavailable, Stopped and Outage; `state` is then where to go on: a page
        that was not finished is looked at again, and its images that are current cost nothing.
        """
        progress(state)
        while not state.done:
            page = await self._images.page(state.position)

            def rendered() -> None:
                state.rendered += 1
                progress(state)

            for failure in await self._bring_all(page, rendered):
                state.note(failure)
            state.images += len(page.images) + len(page.unreadable)
            state.looked_at += page.looked_at
            state.position, state.done = page.following, page.following is None
            progress(state)
            await self._pace.rest(page.looked_at / _ITEMS_A_SECOND)

    async def _bring_all(self, page: ImagePage, rendered: Callable[[], None]) -> list[Failure]:
        """Returns what failed. Raises once all have ended."""
        behind = [image for image in page.images if self._rerenderer.wants(image)]
        results = await asyncio.gather(
            *(self._bring(image, rendered) for image in behind), return_exceptions=True
        )
        failures = [Failure(image_id=each, reason="unreadable item") for each in page.unreadable]
        for result in results:
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                failures.append(result)
        return failures

    async def _bring(self, image: Image, rendered: Callable[[], None]) -> Failure | None:
        async with self._places:
            await self._pace.wait()
            if self._stop.is_set():
                raise Stopped
            if self._outage >= _OUTAGE:
                raise Outage
            try:
                outcome = await self._rerenderer.bring(image)
            except NotRendered as failure:
                self._outage = self._outage + 1 if failure.outage else 0
                return Failure(image_id=image.id, reason=str(failure))
            except Exception as bug:
                log.exception("image_not_rerendered", image_id=image.id)
                return Failure(image_id=image.id, reason=f"unexpected: {type(bug).__name__}")
            self._outage = 0
            if outcome is Outcome.RENDERED:
                rendered()
            return None


class _Pace:
    """So many per second, and none once it is time to stop."""

    def __init__(self, rate: float, stop: asyncio.Event) -> None:
        self._interval = 1 / rate
        self._stop = stop
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._interval
        await self.rest(at - now)

    async def rest(self, seconds: float) -> None:
        """Sleep so long, or until it is time to stop."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
