"""Log lines of the work after a commit: the entry, and why it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog
from tests.logs import Log, watched_log
from tests.unit.services.test_outbox import Parts

from image_service.domain.errors import CdnBusy, CdnRefused, DependencyUnavailable
from image_service.services.deletions import DeletionService
from image_service.services.outbox import BATCH


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as written:
        yield written


adapter = structlog.stdlib.get_logger("image_service.adapters.some")


def failing(cause: Exception, failure: type[Exception] = DependencyUnavailable):
    """A call that says why in a line of its own, as the adapters do, and is translated."""

    async def fails(*_: object) -> None:
        await asyncio.sleep(0)  # so that the calls at once are mixed
        adapter.warning("aws_call_failed")
        raise failure from cause

    return fails


async def test_every_line_of_a_step_names_its_entry_and_failures_their_cause(
    parts: Parts, log: Log
):
    parts.objects.delete = failing(PermissionError("says S3"))  # type: ignore[method-assign] # for its line
    for _ in range(3):
        await parts.deleted()
    entries = set(parts.table.outbox)
    await parts.processor.round()
    for event in ("aws_call_failed", "outbox_entry_failed"):
        assert {line["entry"] for line in log.saying(event=event)} == entries
    for line in log.saying(event="outbox_entry_failed"):
        assert (line["tries"], line["cause"]) == (1, "PermissionError: says S3")
        assert "exception" not in line  # it is no bug, and there may be thousands
    adapter.info("afterwards")
    assert "entry" not in log.lines[-1]


async def test_files_that_cannot_be_deleted_behind_the_answer_are_told_of_under_their_entry(
    parts: Parts, log: Log
):
    parts.objects.delete = failing(PermissionError("says S3"))  # type: ignore[method-assign] # for its line
    await parts.deleted()
    ((entry_id, entry),) = parts.table.outbox.items()
    deletions = DeletionService(objects=parts.objects, outbox=parts.outbox)
    with structlog.contextvars.bound_contextvars(request_id="of the DELETE"):
        deletions.begin(entry)
    await deletions.aclose()
    for event in ("aws_call_failed", "deletion_unfinished"):
        [line] = log.saying(event=event)
        assert (line["entry"], line["request_id"]) == (entry_id, "of the DELETE")
    assert line["cause"] == "PermissionError: says S3"
    assert line["image_id"] == entry.work.deletions[0].image_id
    assert entry_id in parts.table.outbox  # the worker does it again


async def test_a_bug_is_told_with_its_trace(parts: Parts, log: Log):
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    parts.objects.delete = broken  # type: ignore[method-assign] # the fault
    await parts.deleted()
    await parts.processor.round()
    [line] = log.saying(event="outbox_entry_failed", entry=parts.entry.id)
    assert line["cause"] == "RuntimeError: a bug"
    assert line["exception"][0]["exc_type"] == "RuntimeError"


async def test_what_is_set_aside_says_what_and_why(parts: Parts, log: Log):
    await parts.deleted()
    parts.objects.delete = failing(PermissionError("says S3"))  # type: ignore[method-assign] # for good
    await parts.rounds_until_empty()
    (dead_letter,) = parts.table.dead_letters.values()
    [line] = log.saying(event="outbox_entry_set_aside")
    assert (line["entry"], line["level"]) == (dead_letter.id, "error")
    assert line["cause"] == "PermissionError: says S3"
    assert line["work"] == repr(dead_letter.work)


async def test_a_busy_cdn_is_told_of_once_a_rest(parts: Parts, log: Log):
    busy = failing(OSError("TooManyInvalidationsInProgress"), CdnBusy)
    parts.cdn.invalidate = busy  # type: ignore[method-assign] # for good
    for _ in range(3 * BATCH):
        await parts.deleted_files()
    started = parts.time
    await parts.minutes_of_work(0.6)
    [line] = log.saying(event="cdn_busy")
    assert line["cause"] == "OSError: TooManyInvalidationsInProgress"
    assert (line["level"], line["entry"] in parts.table.outbox) == ("warning", True)
    latest = started + timedelta(minutes=2)
    assert started.isoformat() < line["rests_until"] < latest.isoformat()
    await parts.minutes_of_work(10)
    calls = log.saying(event="aws_call_failed")
    assert 5 < len(log.saying(event="cdn_busy")) == len(calls)
    assert log.saying(event="outbox_entry_failed") == []


async def test_a_refused_path_and_a_failed_batch_are_told_of_with_the_cause(parts: Parts, log: Log):
    parts.cdn.invalidate = failing(ValueError("no path"), CdnRefused)  # type: ignore[method-assign] # for good
    for _ in range(2):
        await parts.deleted_files()
    await parts.processor.round()
    [line] = log.saying(event="outbox_entry_failed")
    assert (line["entry"], line["cause"]) == (parts.entry.id, "ValueError: no path")
    assert {said["entry"] for said in log.saying(event="aws_call_failed")} == {parts.entry.id}

    await parts.deleted_files()
    parts.outbox.replace = failing(OSError("no table"))  # type: ignore[assignment, method-assign] # as it is
    await parts.processor.round()
    [line] = log.saying(event="outbox_batch_failed")
    assert line["cause"] == "OSError: no table"
    assert log.saying(event="aws_call_failed", entry=line["entry"])
