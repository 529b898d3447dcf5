"""`image-service reconcile` at the terminal: progress, summary, report, and where to go on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from image_service.bootstrap import open_cache, open_redis_link, open_stores
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings, SettingsError
from image_service.telemetry.telemetry import Telemetry
from image_service.tools import checkpoints
from image_service.tools.checkpoints import NotFinished, write_whole
from image_service.tools.reconcile.bucket import S3Inventory
from image_service.tools.reconcile.findings import FindingKind
from image_service.tools.reconcile.reconciler import (
    Options,
    Part,
    Reconciler,
    Reconciliation,
    TooManyOrphans,
)
from image_service.tools.reconcile.stores import Stores
from image_service.tools.reconcile.table import DynamoTableInventory

log = structlog.stdlib.get_logger(__name__)

_SHOWN: Final = 20  # findings in the summary; the report has more


def begun(checkpoint: Path | None, *, fix: bool) -> Reconciliation:
    """The run that `checkpoint` describes, or a new one. Raises NotFinished."""
    state = checkpoints.begun(Reconciliation, checkpoint)
    if state is None:
        return Reconciliation(fix=fix)
    if state.fix != fix:
        raise NotFinished(f"{checkpoint} is of a run {'with' if state.fix else 'without'} --fix")
    return state


def run(
    settings: Settings,
    options: Options,
    *,
    fix: bool,
    checkpoint: Path | None,
    report: Path | None,
    announce: bool,
) -> bool:
    """Go on from `checkpoint`, or begin, and return whether nothing is wrong (any more).

    `announce`: with the line in the log that alarms are made of. Raises NotFinished.
    """
    state = begun(checkpoint, fix=fix)
    _finish(settings, options, state, checkpoint)
    print_summary(state, Console())
    if announce:
        log_finished(state)
    if report is not None:
        write_report(report, state)
    return state.clean


def _finish(
    settings: Settings, options: Options, state: Reconciliation, checkpoint: Path | None
) -> None:
    """Run `state` to its end. Raises NotFinished."""
    try:
        asyncio.run(reconcile(settings, options, state, checkpoint))
    except SettingsError as error:
        raise NotFinished(*error.errors) from error
    except DependencyUnavailable as error:
        again = f"; repeat the command to go on ({checkpoint})" if checkpoint else ""
        raise NotFinished(f"a store does not respond; see the log above{again}") from error
    except TooManyOrphans as refused:
        raise NotFinished(
            f"{refused.orphans} of the first {refused.files} files have no image: "
            f"is {settings.table_name} the table of {settings.bucket}, and all there? "
            "A run without --fix lists them; "
            "if they may go, give --max-orphans as many as it found"
        ) from refused


async def reconcile(
    settings: Settings, options: Options, state: Reconciliation, checkpoint: Path | None
) -> None:
    """Run `state` from where it stands to its end; `checkpoint` is kept up to date meanwhile.

    Raises DependencyUnavailable and TooManyOrphans.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]} found"),
        TimeElapsedColumn(),
    )
    async with _opened(settings, options) as reconciler:
        totals: dict[Part, int | None] = {}
        with suppress(DependencyUnavailable):  # only the bar needs it
            totals[Part.ITEMS] = await reconciler.size() or None
        with Progress(*columns, console=console) as bars:
            tasks = {
                part: bars.add_task(part.value.capitalize(), total=totals.get(part), found=0)
                for part in Part
            }

            def show(state: Reconciliation) -> None:
                state.keep(checkpoint)
                for part, task in tasks.items():
                    count, found = state.looked_at[part], state.found.total()
                    total = count if state.has_done(part) else totals.get(part)
                    bars.update(task, completed=count, total=total, found=found)

            await reconciler.run(state, show)


@asynccontextmanager
async def _opened(settings: Settings, options: Options) -> AsyncIterator[Reconciler]:
    """The composition root: the stores and the cache, but no pictures."""
    async with AsyncExitStack() as stack:
        telemetry = Telemetry()  # which nobody scrapes
        stores = await open_stores(settings, stack, telemetry)
        redis = await open_redis_link(settings, stack, telemetry, TimeLimits())
        cache = await open_cache(redis, stores.outbox, stack, telemetry)
        compared = Stores(
            table=DynamoTableInventory(stores.dynamodb, settings.table_name),
            inventory=S3Inventory(stores.s3, bucket=settings.bucket),
            objects=stores.objects,
            repository=stores.repository,
            intents=stores.intents,
            rerenders=stores.rerenders,
            outbox=stores.outbox,
        )
        yield Reconciler(compared, stores.outbox_processor(cache.purge), options)


def write_report(path: Path, state: Reconciliation) -> None:
    report = state.model_dump(mode="json", by_alias=True, exclude={"part", "position"})
    report["clean"] = state.clean
    write_whole(path, json.dumps(report, indent=2, ensure_ascii=False))


def print_summary(state: Reconciliation, console: Console) -> None:
    """Print the findings for a person."""
    table = Table(title="Reconciliation")
    table.add_column("Finding")
    table.add_column("Found", justify="right")
    table.add_column("Fixed", justify="right")
    for kind in FindingKind:
        table.add_row(kind.value, str(state.found[kind]), str(state.fixed[kind]))
    console.print(table)
    open_ones = [finding for finding in state.findings if not finding.fixed]
    for finding in open_ones[:_SHOWN]:
        line = f"{finding.kind.value}: {finding.subject} ({finding.detail})"
        console.print(line, markup=False, highlight=False)
    if len(open_ones) > _SHOWN:
        console.print(f"… and {state.found.total() - state.fixed.total() - _SHOWN} more")
    looked_at = ", ".join(f"{state.looked_at[part]} {part.value}" for part in Part)
    console.print(f"Looked at {looked_at}.")


def log_finished(state: Reconciliation) -> None:
    """Log the end of the run; terraform/modules/observability has filters for its fields."""
    # The command logs what fails, and nothing else; this line is its result.
    logging.getLogger(__name__).setLevel(logging.INFO)
    log.info(
        "reconcile_finished",
        findings=state.found.total(),
        fixed=state.fixed.total(),
        looked_at=state.looked_at.total(),
        fix=state.fix,
        kinds={kind.name.lower(): state.found[kind] for kind in FindingKind},
    )
