from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes import (
    FakeIdempotencyRecords,
    FakeImageRepository,
    FakeObjectStore,
    FakeTable,
    FakeUploadIntents,
)
from tests.unit.builders import NEW, NOW, FakeProcessor

from image_service.domain.errors import (
    DependencyUnavailable,
    ImageServiceError,
    InvalidImage,
    OutcomeUnknown,
)
from image_service.domain.uploads import Uploaded
from image_service.services.storing import ImageWriter
from image_service.services.uploads import UploadService


class Parts:
    def __init__(self) -> None:
        self.processor = FakeProcessor()
        self.objects = FakeObjectStore()
        self.table = FakeTable(now=lambda: NOW)
        self.repository = FakeImageRepository(self.table)
        self.intents = FakeUploadIntents(self.table)
        self.records = FakeIdempotencyRecords(self.table)
        self.service = UploadService(
            processor=self.processor,
            intents=self.intents,
            records=self.records,
            writer=ImageWriter(
                objects=self.objects,
                repository=self.repository,
                intents=self.intents,
                records=self.records,
            ),
            now=lambda: NOW,
        )

    def upload(self, key: str | None = None, **changes: object) -> Coroutine[Any, Any, Uploaded]:
        return self.service.upload("alice", replace(NEW, **changes), key)


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_an_upload_stores_two_objects_and_one_image(parts: Parts):
    image = (await parts.upload()).image
    assert parts.repository.table.images == {image.id: image}
    assert {key: stored.data for key, stored in parts.objects.objects.items()} == {
        f"images/alice/{image.id}.webp": b"main of picture",
        f"images/alice/thumbnails/{image.id}.webp": b"thumbnail of picture",
    }
    assert {stored.content_type for stored in parts.objects.objects.values()} == {"image/webp"}
    assert image.uploaded_at == image.created_at == image.updated_at == NOW
    assert (image.title, image.tags, image.checksum) == ("Gate", ("castle",), "c0ffee")
    assert image.file_size == len(NEW.data)
    assert image.main.size_bytes == len(b"main of picture")


async def test_a_refused_picture_stores_nothing(parts: Parts):
    parts.processor.failure = InvalidImage()
    with pytest.raises(InvalidImage):
        await parts.upload()
    assert parts.objects.objects == {}
    assert parts.repository.table.images == {}


async def test_a_put_that_fails_removes_the_other_object(parts: Parts):
    put = parts.objects.put

    async def first_only(key: str, data: bytes, content_type: str) -> None:
        if "thumbnails" in key:
            raise DependencyUnavailable
        await put(key, data, content_type)

    parts.objects.put = first_only  # type: ignore[method-assign] # a fault of one of two calls
    with pytest.raises(DependencyUnavailable):
        await parts.upload()
    assert parts.objects.objects == {}
    assert parts.repository.table.images == {}


async def test_a_refused_commit_removes_the_objects(parts: Parts):
    parts.repository.failure = DependencyUnavailable()
    with pytest.raises(DependencyUnavailable):
        await parts.upload()
    assert parts.objects.objects == {}


async def test_an_unknown_commit_keeps_the_objects(parts: Parts):
    parts.repository.failure = OutcomeUnknown()
    with pytest.raises(OutcomeUnknown):
        await parts.upload()
    assert len(parts.objects.objects) == 2


async def test_the_first_failure_is_told_when_the_cleaning_up_fails_too(parts: Parts):
    parts.repository.failure = DependencyUnavailable("the first")
    parts.objects.delete_failure = ImageServiceError("the second")
    with pytest.raises(DependencyUnavailable, match="the first"):
        await parts.upload()


async def test_a_cancelled_request_leaves_a_whole_image(parts: Parts):
    put, reached, gate = parts.objects.put, asyncio.Event(), asyncio.Event()

    async def slow(key: str, data: bytes, content_type: str) -> None:
        reached.set()
        await gate.wait()
        await put(key, data, content_type)

    parts.objects.put = slow  # type: ignore[method-assign] # to stop in the middle
    request = asyncio.create_task(parts.upload())
    await reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    gate.set()
    await parts.service.aclose()
    (image,) = parts.repository.table.images.values()
    assert set(parts.objects.objects) == set(image.object_keys)


async def test_one_upload_never_takes_the_keys_of_another(parts: Parts):
    images = [(await parts.upload()).image for _ in range(20)]
    keys: Sequence[str] = [key for image in images for key in image.object_keys]
    assert len(set(keys)) == 40
