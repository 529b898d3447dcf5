from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from tests import virtual_time
from tests.fakes import (
    FakeIdempotencyRecords,
    FakeImageRepository,
    FakeObjectStore,
    FakeTable,
    FakeUploadIntents,
)
from tests.unit.builders import NEW, NOW, FakeProcessor, caller

from image_service.adapters.redis.counting import NullCache
from image_service.domain.access import Caller, RateLimit
from image_service.domain.errors import (
    DependencyUnavailable,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ImageServiceError,
    InvalidImage,
    OutcomeUnknown,
    Overloaded,
)
from image_service.domain.images import Image
from image_service.domain.pictures import ProcessedImage
from image_service.domain.renditions import RENDITIONS
from image_service.domain.time_limits import TRANSACTION_PATIENCE, TimeLimits
from image_service.domain.uploads import CLAIM_LEASE, Uploaded
from image_service.services.admission import Admission, AdmissionLimits
from image_service.services.storing import ImageWriter
from image_service.services.uploads import UploadService
from image_service.telemetry.telemetry import Telemetry

ALICE, BOB = caller("alice"), caller("bob")


class Parts:
    def __init__(self) -> None:
        self.processor = FakeProcessor()
        self.objects = FakeObjectStore()
        self.time = NOW
        self.table = FakeTable(now=lambda: self.time)
        self.repository = FakeImageRepository(self.table)
        self.intents = FakeUploadIntents(self.table)
        self.records = FakeIdempotencyRecords(self.table)
        self.service = UploadService(
            renditions=RENDITIONS,
            processor=self.processor,
            intents=self.intents,
            records=self.records,
            writer=ImageWriter(
                objects=self.objects,
                repository=self.repository,
                intents=self.intents,
                records=self.records,
                cache=NullCache(Telemetry()),
            ),
            now=lambda: self.time,
        )

    def pass_time(self, time: timedelta) -> None:
        self.time += time

    @staticmethod
    def answer_lost_after(target: object, name: str) -> None:
        """The call is carried out, and then nobody hears of it."""
        call = getattr(target, name)

        async def lost(*args: Any, **also: Any) -> None:
            await call(*args, **also)
            raise OutcomeUnknown

        setattr(target, name, lost)

    def upload(self, key: str | None = None, **changes: object) -> Coroutine[Any, Any, Uploaded]:
        return self.service.upload(ALICE, replace(NEW, **changes), key)


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_an_upload_stores_its_objects_and_one_image(parts: Parts):
    image = (await parts.upload()).image
    assert parts.repository.table.images == {image.id: image}
    assert {key: stored.data for key, stored in parts.objects.objects.items()} == {
        spec.key("alice", image.id): spec.name.encode() + b" of picture" for spec in RENDITIONS
    }
    assert {name: file.key for name, file in image.renditions.items()} == {
        spec.name: spec.key("alice", image.id) for spec in RENDITIONS
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


@virtual_time.MARK
async def test_a_put_that_is_still_under_way_is_waited_for_and_undone(parts: Parts):
    put = parts.objects.put

    async def late(key: str, data: bytes, content_type: str) -> None:
        if "thumbnails" in key:
            raise DependencyUnavailable
        await asyncio.sleep(0.05)
        await put(key, data, content_type)

    parts.objects.put = late  # type: ignore[method-assign] # one fails while the other runs
    with pytest.raises(DependencyUnavailable):
        await parts.upload()
    await asyncio.sleep(0.1)
    assert parts.objects.objects == {}


async def test_a_refused_commit_removes_the_objects(parts: Parts):
    parts.repository.failure = DependencyUnavailable()
    with pytest.raises(DependencyUnavailable):
        await parts.upload()
    assert parts.objects.objects == {}


async def test_an_unknown_commit_that_happened_is_a_success(parts: Parts):
    parts.answer_lost_after(parts.repository, "add")
    image = (await parts.upload("key")).image
    assert parts.table.images == {image.id: image}
    assert set(parts.objects.objects) == set(image.object_keys)
    assert (await parts.upload("key")).replayed


async def test_an_unknown_commit_that_did_not_happen_leaves_nothing(parts: Parts):
    parts.repository.failure = OutcomeUnknown()
    with pytest.raises(OutcomeUnknown):
        await parts.upload("key")
    assert parts.objects.objects == {}
    parts.repository.failure = None
    assert not (await parts.upload("key")).replayed  # the key is free again
    assert len(parts.table.images) == 1


@pytest.mark.parametrize("failure", [DependencyUnavailable(), OutcomeUnknown()])
async def test_without_an_image_there_was_no_commit(parts: Parts, failure: ImageServiceError):
    """Its intent is gone as with a commit, but it was a sweeper that took it."""

    async def swept(image: Image, **also: Any) -> None:
        parts.table.intents.clear()
        raise failure

    parts.repository.add = swept  # type: ignore[method-assign] # it was away for an hour
    with pytest.raises(type(failure)):
        await parts.upload("key")
    assert (parts.objects.objects, parts.table.answers) == ({}, {})


async def test_what_became_of_a_commit_is_read_from_the_store(parts: Parts):
    """Where even that can't be had, the files stay for the sweeper to decide on."""
    parts.answer_lost_after(parts.repository, "add")
    parts.repository.get = _unavailable  # type: ignore[method-assign,assignment] # just then
    with pytest.raises(OutcomeUnknown):
        await parts.upload("key")
    (image,) = parts.table.images.values()
    assert set(parts.objects.objects) == set(image.object_keys)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_claim_that_was_not_answered_is_given_back(parts: Parts, *, cancelled: bool):
    """It may be held all the same, and would keep the client's repeat out for a minute."""
    claim, ended = parts.records.claim, asyncio.CancelledError if cancelled else OutcomeUnknown

    async def unanswered(*args: Any) -> None:
        await claim(*args)
        raise ended

    parts.records.claim = unanswered  # type: ignore[method-assign,assignment] # carried out
    with pytest.raises(ended):
        await parts.upload("key")
    await parts.service.aclose()
    assert parts.table.answers == {}
    parts.records.claim = claim  # type: ignore[method-assign] # the store is back
    assert not (await parts.upload("key")).replayed


def test_a_claim_outlasts_its_upload():
    """Else the client's repeat is let in while the first is still at work."""
    times = TimeLimits()
    assert CLAIM_LEASE.total_seconds() > times.upload_deadline + TRANSACTION_PATIENCE
    assert CLAIM_LEASE.total_seconds() > (
        times.queue_timeout + times.processing_timeout + TRANSACTION_PATIENCE
    )


async def test_a_commit_that_comes_late_is_refused(parts: Parts):
    """The transaction was still on its way when the upload gave it up."""
    add, late = parts.repository.add, []

    async def delayed(image: Image, **also: Any) -> None:
        late.append((image, also))
        raise OutcomeUnknown

    parts.repository.add = delayed  # type: ignore[method-assign] # a slow network
    with pytest.raises(OutcomeUnknown):
        await parts.upload("key")
    with pytest.raises(DependencyUnavailable):
        await add(late[0][0], **late[0][1])
    assert parts.table.images == {}


async def test_what_can_not_be_settled_is_left_to_the_sweeper(parts: Parts):
    parts.answer_lost_after(parts.repository, "add")
    parts.intents.withdraw = _unavailable  # type: ignore[method-assign] # the table is gone too
    with pytest.raises(OutcomeUnknown):
        await parts.upload("key")
    (image,) = parts.table.images.values()
    assert set(parts.objects.objects) == set(image.object_keys)
    assert (await parts.upload("key")).image == image


async def _unavailable(*_: object) -> bool:
    raise DependencyUnavailable


async def test_the_intent_names_every_file_and_goes_with_the_commit(parts: Parts):
    seen = []
    put = parts.objects.put

    async def watched(key: str, data: bytes, content_type: str) -> None:
        seen.append((key, dict(parts.table.intents)))
        await put(key, data, content_type)

    parts.objects.put = watched  # type: ignore[method-assign] # to look at that moment
    await parts.upload()
    for key, intents in seen:
        (intent,) = intents.values()
        assert key in intent.object_keys
    assert parts.table.intents == {}


async def test_a_picture_that_fails_takes_everything_back(parts: Parts):
    async def corrupt(*_: object) -> ProcessedImage:
        raise InvalidImage

    parts.processor.process = corrupt  # type: ignore[method-assign] # after the header
    with pytest.raises(InvalidImage):
        await parts.upload("key")
    assert (parts.table.intents, parts.table.answers) == ({}, {})


@pytest.mark.parametrize(
    ("cpu_seconds", "charged"), [(0.3, []), (0.99, []), (1.2, [1]), (3.5, [9]), (8.5, [64])]
)
async def test_a_costly_picture_counts_as_several_uploads(
    parts: Parts, cpu_seconds: float, charged: list[int]
):
    class Limiter:
        charged: ClassVar[list[tuple[str, int]]] = []

        async def hit(self, caller: Caller, *, upload: bool) -> RateLimit:
            raise AssertionError

        async def charge(self, caller: Caller, uploads: int) -> None:
            self.charged.append((caller.user_id, uploads))

    Limiter.charged = []
    parts.service._limiter = Limiter()
    parts.processor.cpu_seconds = cpu_seconds
    await parts.upload()
    await parts.service.aclose()
    assert Limiter.charged == [("alice", uploads) for uploads in charged]


async def test_an_upload_refused_for_load_announces_nothing_and_frees_its_key(parts: Parts):
    class Full(Admission):
        def processing(self, user_id: str, decode_bytes: int) -> Any:
            raise Overloaded

    parts.service._admission = Full(AdmissionLimits())
    with pytest.raises(Overloaded):
        await parts.upload("key")
    assert (parts.table.intents, parts.table.answers) == ({}, {})


async def test_an_upload_that_loses_its_turn_takes_back_what_it_announced(parts: Parts):
    async def starved(*_: object) -> ProcessedImage:
        raise Overloaded

    parts.processor.process = starved  # type: ignore[method-assign] # as a busy machine makes it
    with pytest.raises(Overloaded):
        await parts.upload("key")
    assert (parts.table.intents, parts.table.answers) == ({}, {})


async def test_without_an_intent_no_file_is_put(parts: Parts):
    parts.intents.failure = DependencyUnavailable()
    with pytest.raises(DependencyUnavailable):
        await parts.upload()
    assert parts.objects.objects == {}


async def test_a_request_cancelled_while_processing_takes_everything_back(parts: Parts):
    reached = asyncio.Event()

    async def endless(*_: object) -> ProcessedImage:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    parts.processor.process = endless  # type: ignore[method-assign] # to stop in the middle
    request = asyncio.create_task(parts.upload("key"))
    await reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await parts.service.aclose()
    assert (parts.table.intents, parts.table.answers) == ({}, {})
    assert (parts.objects.objects, parts.table.images) == ({}, {})


async def test_a_repeat_gets_the_first_answer_and_stores_nothing(parts: Parts):
    first = await parts.upload("key")
    assert not first.replayed
    parts.processor.process = _unavailable  # type: ignore[method-assign] # it must not be called
    assert await parts.upload("key", filename="other-name.jpg") == Uploaded(first.image, True)
    assert len(parts.objects.objects) == len(RENDITIONS)


async def test_a_repeat_after_the_image_has_gone_still_gets_the_first_answer(parts: Parts):
    first = await parts.upload("key")
    await parts.repository.mark_deleted(first.image, NOW)
    assert await parts.upload("key") == Uploaded(first.image, True)
    assert parts.table.images == {}


@pytest.mark.parametrize(
    "change", [{"checksum": "c0c0a"}, {"title": "Moat"}, {"tags": ()}, {"album_id": "x"}]
)
async def test_the_same_key_with_other_content_is_refused(parts: Parts, change: dict[str, Any]):
    await parts.upload("key")
    with pytest.raises(IdempotencyKeyReused):
        await parts.upload("key", **change)
    assert len(parts.table.images) == 1


async def test_keys_of_users_do_not_meet(parts: Parts):
    await parts.upload("key")
    other = await parts.service.upload(BOB, NEW, "key")
    assert not other.replayed
    assert other.image.user_id == "bob"


async def test_of_ten_copies_at_once_one_is_stored(parts: Parts):
    answers = await asyncio.gather(
        *(parts.upload("key") for _ in range(10)), return_exceptions=True
    )
    stored = [answer for answer in answers if isinstance(answer, Uploaded)]
    refused = [answer for answer in answers if isinstance(answer, IdempotencyInProgress)]
    assert (len(stored), len(refused), len(parts.table.images)) == (1, 9, 1)


async def test_an_owner_that_comes_late_can_not_commit(parts: Parts):
    """Its lease ran out while it was away, and another request took the key over."""
    put, reached, gate = parts.objects.put, asyncio.Event(), asyncio.Event()

    async def slow(key: str, data: bytes, content_type: str) -> None:
        reached.set()
        await gate.wait()
        await put(key, data, content_type)

    parts.objects.put = slow  # type: ignore[method-assign] # the first one hangs
    first = asyncio.create_task(parts.upload("key"))
    await reached.wait()
    parts.objects.put = put  # type: ignore[method-assign] # the second does not
    parts.pass_time(CLAIM_LEASE)
    second = await parts.upload("key")
    gate.set()
    with pytest.raises(IdempotencyInProgress):
        await first
    assert parts.table.images == {second.image.id: second.image}
    assert set(parts.objects.objects) == set(second.image.object_keys)


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


async def test_what_fails_after_its_request_has_gone_is_no_unheard_exception(parts: Parts):
    reached, gate = asyncio.Event(), asyncio.Event()
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def failing(*_: object) -> None:
        reached.set()
        await gate.wait()
        raise DependencyUnavailable

    parts.objects.put = failing  # type: ignore[method-assign] # to fail when nobody waits
    request = asyncio.create_task(parts.upload())
    await reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    gate.set()
    await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_exception_handler(None)
    assert unheard == []


async def test_one_upload_never_takes_the_keys_of_another(parts: Parts):
    images = [(await parts.upload()).image for _ in range(20)]
    keys: Sequence[str] = [key for image in images for key in image.object_keys]
    assert len(set(keys)) == 20 * len(RENDITIONS)
