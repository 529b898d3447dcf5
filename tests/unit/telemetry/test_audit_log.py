"""Lines of the audit log, of changes that the services make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from tests.fakes import (
    FakeIdempotencyRecords,
    FakeImageLists,
    FakeImageRepository,
    FakeObjectStore,
    FakeOutbox,
    FakeTable,
    FakeUploadIntents,
)
from tests.logs import Log, watched_log
from tests.unit.builders import NEW, FakeProcessor, caller, machine

from image_service.adapters.redis.counting import NullCache
from image_service.domain.access import Kind
from image_service.domain.errors import (
    DependencyUnavailable,
    ImageServiceError,
    OutcomeUnknown,
    VersionMismatch,
)
from image_service.domain.images import ExpectedVersion, Image, ImageChanges
from image_service.domain.renditions import RENDITIONS
from image_service.services.deletions import DeletionService
from image_service.services.library import Library
from image_service.services.storing import ImageWriter
from image_service.services.uploads import UploadService
from image_service.telemetry.telemetry import Telemetry

ALICE = caller("alice")
ANY = ExpectedVersion(if_match="*")
PRIVATE = ImageChanges(title="private words")


class Parts:
    def __init__(self) -> None:
        table, cache = FakeTable(), NullCache(Telemetry())
        self.repository = FakeImageRepository(table)
        objects = FakeObjectStore()
        self.library = Library(
            repository=self.repository,
            lists=FakeImageLists(table),
            cache=cache,
            deletions=DeletionService(objects=objects, outbox=FakeOutbox(table)),
        )
        intents, records = FakeUploadIntents(table), FakeIdempotencyRecords(table)
        self._uploads = UploadService(
            renditions=RENDITIONS,
            processor=FakeProcessor(),
            intents=intents,
            records=records,
            writer=ImageWriter(
                objects=objects,
                repository=self.repository,
                intents=intents,
                records=records,
                cache=cache,
            ),
        )

    async def upload(self) -> Image:
        return (await self._uploads.upload(ALICE, NEW)).image


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def log() -> Iterator[Log]:
    with watched_log() as watched:
        yield watched


def facts(log: Log) -> list[tuple[object, ...]]:
    names = ("action", "user_id", "image_id", "version", "outcome")
    return [tuple(line[name] for name in names) for line in log.saying(event="audit")]


async def test_what_is_committed_is_recorded(parts: Parts, log: Log):
    image = await parts.upload()
    await parts.library.get(ALICE, image.id)
    await parts.library.update(ALICE, image.id, PRIVATE, ANY)
    await parts.library.delete(ALICE, image.id, ANY)
    assert facts(log) == [
        ("upload", "alice", image.id, 1, "done"),
        ("update", "alice", image.id, 2, "done"),
        ("delete", "alice", image.id, 2, "done"),
    ]
    assert {line["logger"] for line in log.saying(event="audit")} == {"image_service.audit"}
    assert "private words" not in log.text


@pytest.mark.parametrize(
    ("failure", "outcomes"),
    [
        (DependencyUnavailable(), []),
        pytest.param(VersionMismatch(2), [], marks=pytest.mark.slow),  # tried again for 6 s
        (OutcomeUnknown(), ["unknown"]),
    ],
)
@pytest.mark.parametrize("action", ["upload", "update", "delete"])
async def test_what_may_have_been_committed_is_recorded_as_such(
    parts: Parts,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    failure: ImageServiceError,
    outcomes: list[str],
):
    image = await parts.upload()
    before = len(facts(log))

    async def fails(*_: object, **__: object) -> None:
        raise failure

    call = {"upload": "add", "update": "update", "delete": "mark_deleted"}[action]
    monkeypatch.setattr(parts.repository, call, fails)
    now = ExpectedVersion(if_match='"1"')
    change = {
        "upload": parts.upload,
        "update": partial(parts.library.update, ALICE, image.id, PRIVATE, now),
        "delete": partial(parts.library.delete, ALICE, image.id, now),
    }[action]
    with pytest.raises(ImageServiceError):
        await change()
    assert [(line[0], line[-1]) for line in facts(log)[before:]] == [
        (action, outcome) for outcome in outcomes
    ]


async def test_a_commit_that_a_deadline_cuts_short_is_recorded_as_unknown(
    parts: Parts, log: Log, monkeypatch: pytest.MonkeyPatch
):
    image = await parts.upload()
    asked = asyncio.Event()

    async def hangs(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(parts.repository, "mark_deleted", hangs)
    deletion = asyncio.create_task(parts.library.delete(ALICE, image.id, ANY))
    await asked.wait()
    deletion.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deletion
    assert facts(log)[1:] == [("delete", "alice", image.id, 1, "unknown")]


async def test_a_change_names_who_made_it_and_why(parts: Parts, log: Log):
    image = await parts.upload()
    await parts.library.update(machine(acting_for="alice"), image.id, PRIVATE, ANY)
    await parts.library.delete(replace(caller("root"), kind=Kind.ADMIN), image.id, ANY, "Reported")
    names = ("action", "user_id", "caller", "caller_id", "reason")
    assert [tuple(map(line.get, names)) for line in log.saying(event="audit")] == [
        ("upload", "alice", "user", "alice", None),
        ("update", "alice", "machine", "main-api", None),
        ("delete", "alice", "admin", "root", "Reported"),
    ]


async def test_what_could_not_be_read_was_not_seen(parts: Parts, log: Log):
    image = await parts.upload()
    parts.repository.failure = DependencyUnavailable()
    with pytest.raises(DependencyUnavailable):
        await parts.library.get(machine(), image.id)
    assert log.saying(event="audit", caller="machine") == []
    parts.repository.failure = None
    await parts.library.get(machine(), image.id)
    [line] = log.saying(event="audit", caller="machine")
    assert (line["action"], line["user_id"], line["image_id"]) == ("read", "alice", image.id)
