"""`image-service rerender` at the terminal: progress, signals, summary, and where to go on."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from image_service.bootstrap import (
    admission_limits,
    open_cache,
    open_redis_link,
    open_stores,
    picture_limits,
)
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.limits import MAX_SIDE
from image_service.domain.renditions import RenditionSpec, table
from image_service.domain.time_limits import TimeLimits
from image_service.pictures import confinement
from image_service.pictures.header import PictureLimits
from image_service.pictures.processor import VipsProcessor
from image_service.pictures.worker_child import ChildNotStarted
from image_service.services.admission import AdmissionLimits
from image_service.settings import Settings, SettingsError
from image_service.settings.values import Widths
from image_service.telemetry import audit_log
from image_service.telemetry.telemetry import Telemetry
from image_service.tools import checkpoints
from image_service.tools.checkpoints import NotFinished, write_whole
from image_service.tools.rerender.rerenderer import Rerenderer
from image_service.tools.rerender.run import Options, Outage, Rerendering, Run, Stopped
from image_service.tools.rerender.stores import DynamoImages, S3MainPictures

_SHOWN: Final = 20  # failures in the summary; the report has more
_AT_ONCE_A_WORKER: Final = 3  # S3 and DynamoDB take longer than the pictures


def specs_of(settings: Settings, widths: str | None) -> tuple[RenditionSpec, ...]:
    """The rows by width, of the setting or of `widths` as typed. Raises NotFinished."""
    if widths is None:
        return _by_width(settings.rendition_widths)
    given = [width.strip() for width in widths.split(",")] if widths.strip() else []
    try:
        return _by_width(TypeAdapter(Widths).validate_python(given))
    except ValidationError as error:
        raise NotFinished(f"--widths: {error.errors()[0]['msg']}") from error


def _by_width(widths: Iterable[int]) -> tuple[RenditionSpec, ...]:
    return tuple(spec for spec in table(widths) if spec.fit == "width")


def run(
    settings: Settings,
    widths: str | None,
    *,
    rate: float,
    checkpoint: Path | None,
    report: Path | None,
    audited: bool,
) -> bool:
    """Go on from `checkpoint`, or begin, and return whether every image is on the table now.

    `audited`: with a line in the log for each. Raises NotFinished.
    """
    logging.getLogger(audit_log.LOGGER).setLevel(logging.INFO if audited else logging.WARNING)
    confinement.hide_from_children()
    specs = specs_of(settings, widths)
    with _alone(checkpoint):
        state = begun(checkpoint, specs)
        _finish(settings, specs, rate, state, checkpoint)
    print_summary(state, Console())
    if report is not None:
        write_whole(report, json.dumps(_report(state), indent=2, ensure_ascii=False))
    return not state.failed


def begun(checkpoint: Path | None, specs: Sequence[RenditionSpec]) -> Rerendering:
    """The run that `checkpoint` describes, or a new one. Raises NotFinished."""
    widths = tuple(spec.side for spec in specs)
    empty = checkpoint is not None and checkpoint.exists() and not checkpoint.stat().st_size
    state = checkpoints.begun(Rerendering, None if empty else checkpoint)
    if state is None:
        return Rerendering(widths=widths)
    if state.widths != widths:
        raise NotFinished(f"{checkpoint} is of a run with other widths: {state.widths}")
    return state


@contextmanager
def _alone(checkpoint: Path | None) -> Iterator[None]:
    """Two processes of one run would end each other's holds. Raises NotFinished."""
    if checkpoint is None:
        yield
        return
    with checkpoint.with_name(checkpoint.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NotFinished(f"another rerender goes on with {checkpoint}") from error
        yield


def _finish(
    settings: Settings,
    specs: Sequence[RenditionSpec],
    rate: float,
    state: Rerendering,
    checkpoint: Path | None,
) -> None:
    """Run `state` to its end. Raises NotFinished."""
    again = f"repeat the command to go on ({checkpoint or 'what is done is not done again'})"
    try:
        asyncio.run(rerender(settings, specs, rate, state, checkpoint))
    except SettingsError as error:
        raise NotFinished(*error.errors) from error
    except ChildNotStarted as error:
        raise NotFinished(str(error)) from error
    except (DependencyUnavailable, Outage) as error:
        raise NotFinished(f"a store does not respond; see the log above; {again}") from error
    except Stopped as error:
        raise NotFinished(f"stopped after {state.rendered} images; {again}") from error


async def rerender(
    settings: Settings,
    specs: Sequence[RenditionSpec],
    rate: float,
    state: Rerendering,
    checkpoint: Path | None,
) -> None:
    """Run `state` from where it stands to its end; `checkpoint` is kept up to date meanwhile."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("items, {task.fields[rendered]} rendered, {task.fields[failed]} failed"),
        TimeRemainingColumn(),
    )
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with _opened(settings, specs, rate, state.owner, stop) as run:
        total = None
        with suppress(DependencyUnavailable):  # only the bar needs it
            total = await run.size() or None
        with Progress(*columns, console=Console(stderr=True)) as bars:
            bar = bars.add_task("Images", total=total, rendered=0, failed=0)

            def show(state: Rerendering) -> None:
                state.keep(checkpoint)
                bars.update(
                    bar,
                    completed=state.looked_at,
                    total=state.looked_at if state.done else total,
                    rendered=state.rendered,
                    failed=state.failed,
                )

            await run.go(state, show)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first one lets what is under way end; a second one ends the process."""
    loop = asyncio.get_running_loop()

    def stopping() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    with suppress(RuntimeError, ValueError):  # in a thread of a test
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping)


def main_picture_limits(
    settings: Settings, specs: Sequence[RenditionSpec], limits: AdmissionLimits, times: TimeLimits
) -> PictureLimits:
    """Returns the bounds of main pictures, whatever uploads may measure; panoramas' are low."""
    usual = picture_limits(settings, limits, times, table(spec.side for spec in specs))
    return replace(usual, min_side=1, max_side=MAX_SIDE)


@asynccontextmanager
async def _opened(
    settings: Settings,
    specs: Sequence[RenditionSpec],
    rate: float,
    owner: str,
    stop: asyncio.Event,
) -> AsyncIterator[Run]:
    """The composition root: the stores, the cache and pictures."""
    async with AsyncExitStack() as stack:
        telemetry, times = Telemetry(), TimeLimits()  # the first, nobody scrapes
        limits = admission_limits(settings, times)
        processor = VipsProcessor(
            limits=main_picture_limits(settings, specs, limits, times),
            worker_threads=limits.workers,
        )
        stack.callback(processor.close)
        await processor.start()
        stores = await open_stores(settings, stack, telemetry)
        redis = await open_redis_link(settings, stack, telemetry, times)
        rerenderer = Rerenderer(
            specs=specs,
            run=owner,
            repository=stores.repository,
            rerenders=stores.rerenders,
            pictures=S3MainPictures(stores.s3, bucket=settings.bucket),
            processor=processor,
            objects=stores.objects,
            cache=await open_cache(redis, stores.outbox, stack, telemetry),
        )
        options = Options(rate=rate, at_once=_AT_ONCE_A_WORKER * limits.workers)
        images = DynamoImages(stores.dynamodb, settings.table_name)
        yield Run(images, rerenderer, options, stop)


def print_summary(state: Rerendering, console: Console) -> None:
    """Print the outcome for a person."""
    for failure in state.failures[:_SHOWN]:
        line = f"{failure.image_id}: {failure.reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if state.failed > _SHOWN:
        console.print(f"… and {state.failed - _SHOWN} more")
    console.print(
        f"{state.images} images: {state.rendered} rendered, {state.failed} failed, "
        f"{state.images - state.rendered - state.failed} current.",
        highlight=False,
    )


def _report(state: Rerendering) -> dict[str, object]:
    return state.model_dump(mode="json", by_alias=True, exclude={"position", "owner"})
