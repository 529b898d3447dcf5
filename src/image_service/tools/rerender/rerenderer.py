"""One image brought to the current table, from a hold on it to the end of that hold.

The order: hold; read the image; make what it lacks from its main picture; put the files; one
transaction over image, counters and hold; delete what the image named before. Whatever fails
or dies on the way, the hold says which files there may be, and whoever ends it deletes those
that the image does not name (`services.sweeping`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Any, Final

import structlog

from image_service.domain.errors import (
    Contended,
    DependencyUnavailable,
    ImageNotFound,
    ImageServiceError,
    OutcomeUnknown,
    Overloaded,
    VersionMismatch,
)
from image_service.domain.images import Image
from image_service.domain.pictures import EncodedPicture
from image_service.domain.renditions import Rendition, RenditionSpec, is_by_width, wanted
from image_service.domain.rerenders import HoldLost, Rerender
from image_service.domain.times import utc_now
from image_service.ports import ImageCache, ImageProcessor, ImageRepository, ObjectStore, Rerenders
from image_service.services.sweeping import RerenderSweeper
from image_service.telemetry import audit_log
from image_service.tools.rerender.stores import MainPictures

log = structlog.stdlib.get_logger(__name__)

_LOOKS: Final = 5  # a hold for what the image lacked a moment ago is given back
_FIRST_WAIT, _LONGEST_WAIT = 0.02, 1.0


class Outcome(StrEnum):
    CURRENT = "current"
    RENDERED = "rendered"
    DELETED = "deleted"


class NotRendered(Exception):
    """An image could not be brought to the table, and is as it was; why, for a person.

    `outage`: because a store did not respond, which may be the same for the next.
    """

    def __init__(self, reason: str, *, outage: bool = False) -> None:
        super().__init__(reason)
        self.outage = outage


@dataclass(frozen=True, slots=True)
class Gap:
    """What keeps an image from the table: rows that it lacks, and names that it has too many."""

    missing: tuple[RenditionSpec, ...]
    unwanted: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unwanted)


def gap_of(image: Image, specs: Sequence[RenditionSpec]) -> Gap:
    """Rows by width alone: the others need the upload, or are a newer release's."""
    by_width = (spec for spec in specs if is_by_width(spec.name))
    rows = {spec.name: spec for spec in wanted(by_width, image.main.width, image.main.height)}
    return Gap(
        tuple(spec for name, spec in rows.items() if name not in image.renditions),
        tuple(name for name in image.renditions if is_by_width(name) and name not in rows),
    )


class Rerenderer:
    """Works for `run`, by its name; `patience` in seconds, for others' holds and edits.

    A hold of the same run is what an earlier process of it left behind, and is ended.
    """

    def __init__(  # noqa: PLR0913 - what an image passes through
        self,
        *,
        specs: Sequence[RenditionSpec],
        run: str,
        repository: ImageRepository,
        rerenders: Rerenders,
        pictures: MainPictures,
        processor: ImageProcessor,
        objects: ObjectStore,
        cache: ImageCache,
        patience: float = 30.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._specs = specs
        self._run = run
        self._repository = repository
        self._rerenders = rerenders
        self._pictures = pictures
        self._processor = processor
        self._objects = objects
        self._cache = cache
        self._patience = patience
        self._now = now
        self._sweeper = RerenderSweeper(rerenders, repository, objects, now=now)

    def wants(self, image: Image) -> bool:
        """Returns whether there is anything to do for it, as far as it is known."""
        return bool(gap_of(image, self._specs))

    async def bring(self, seen: Image) -> Outcome:
        """Bring an image to the table that was `seen` a moment ago. Raises NotRendered."""
        try:
            return await self._bring(seen)
        except ImageNotFound:
            return Outcome.DELETED
        except OutcomeUnknown as failure:
            raise NotRendered("its commit got no response; look again", outage=True) from failure
        except HoldLost as failure:
            raise NotRendered("its hold was taken over, as one that had died") from failure
        except (DependencyUnavailable, Overloaded) as failure:
            reason = f"{failure.code}; what it left is cleared away within about an hour"
            raise NotRendered(reason, outage=True) from failure
        except ImageServiceError as failure:
            raise NotRendered(f"{failure.code}: {failure.message}") from failure

    async def _bring(self, image: Image) -> Outcome:
        for _ in range(_LOOKS):
            gap = gap_of(image, self._specs)
            if not gap:
                return Outcome.CURRENT
            keys = (spec.key(image.user_id, image.id) for spec in gap.missing)
            hold = Rerender.of(image, self._run, keys, self._now())
            await self._begin(hold)
            try:
                image = await self._stored(image.id)
                if gap_of(image, self._specs) == gap:
                    made = await self._made(image, gap)
                    break
            except BaseException:
                await _tried(self._rerenders.end(hold))  # no file has been put
                raise
            await self._rerenders.end(hold)
        else:
            raise NotRendered("others keep changing its renditions")
        await self._store(image, gap, made, hold)
        return Outcome.RENDERED

    async def _begin(self, hold: Rerender) -> None:
        """Raises NotRendered where another keeps holding the image."""
        give_up = _clock() + self._patience
        for tries in count():
            if await self._rerenders.begin(hold):
                return
            other = await self._rerenders.get(hold.image_id)
            if other is not None and other.is_of(self._run):
                await self._sweeper.settle(other)
                continue
            if _clock() >= give_up:
                break
            await _pause(tries)
        raise NotRendered("another rerender holds it; one that has died does so for about an hour")

    async def _made(self, image: Image, gap: Gap) -> Mapping[str, EncodedPicture]:
        if not gap.missing:
            return {}
        data = await self._pictures.read(image.main.key)
        if not data:
            raise NotRendered(f"its main picture is missing: {image.main.key}")
        source = await self._processor.inspect(data)
        made = (await self._processor.process(data, source, gap.missing)).pictures
        if left_out := {spec.name for spec in gap.missing} - made.keys():
            size = f"{source.width} x {source.height}"
            raise NotRendered(f"its main picture of {size} pixels gives no {sorted(left_out)}")
        return made

    async def _store(
        self, image: Image, gap: Gap, made: Mapping[str, EncodedPicture], hold: Rerender
    ) -> None:
        await self._put(image, made)
        try:
            left = await self._commit(image, gap, made, hold)
        except OutcomeUnknown:
            raise
        except HoldLost:  # and what was put since, nobody knows of: once more, to clear it away
            await _tried(self._rerenders.begin(hold))
            await _tried(self._sweeper.settle(hold))
            raise
        except (ImageServiceError, NotRendered):
            await _tried(self._sweeper.settle(hold))
            raise
        if left is not None:  # where it can't be ended now, a sweeper will
            await _tried(self._sweeper.clear(left))

    async def _put(self, image: Image, made: Mapping[str, EncodedPicture]) -> None:
        """Where one fails the hold stays: it may still arrive, for a sweeper to find."""
        results = await asyncio.gather(
            *(
                self._objects.put(
                    picture.spec.key(image.user_id, image.id), picture.data, picture.spec.mime_type
                )
                for picture in made.values()
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _commit(
        self, image: Image, gap: Gap, made: Mapping[str, EncodedPicture], hold: Rerender
    ) -> Rerender | None:
        """Returns what is left of the hold. Edits go first, as often as there are any."""
        give_up = _clock() + self._patience
        renditions = image.renditions
        for tries in count():
            after = image.rendered(_brought(image, gap, made))
            left = hold.after_commit(image, after, self._now())
            try:
                async with self._cache.writing(image.user_id, image.id):
                    with audit_log.change("rerender", after, None):
                        await self._rerenders.commit(image, after, hold, left, until=give_up)
            except (VersionMismatch, Contended):
                if _clock() >= give_up:
                    raise
            else:
                return left
            await _pause(tries)
            image = await self._stored(image.id)
            if image.renditions != renditions:
                raise NotRendered("its renditions were changed by another program")
        raise AssertionError  # `count` has no end

    async def _stored(self, image_id: str) -> Image:
        image = await self._repository.get(image_id)
        if image is None:
            raise ImageNotFound
        return image


def _brought(image: Image, gap: Gap, made: Mapping[str, EncodedPicture]) -> dict[str, Rendition]:
    kept = {
        name: rendition for name, rendition in image.renditions.items() if name not in gap.unwanted
    }
    return kept | {name: picture.stored(image.user_id, image.id) for name, picture in made.items()}


def _clock() -> float:
    return asyncio.get_running_loop().time()


async def _pause(tries: int) -> None:
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**tries)
    await asyncio.sleep(random.uniform(0, wait))  # noqa: S311 # not a secret


async def _tried(step: Awaitable[Any]) -> None:
    """Try a step of cleaning up; where it fails, the sweepers do it."""
    try:
        await step
    except ImageServiceError:
        log.warning("rerender_left_to_sweepers", exc_info=True)
