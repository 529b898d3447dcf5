from __future__ import annotations

from datetime import datetime

import pytest
from tests.contract.samples import make_image, moment

from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Image
from image_service.domain.uploads import UploadIntent
from image_service.ports import ImageLists, ImageRepository, UploadIntents


def intent_of(image: Image) -> UploadIntent:
    return UploadIntent(
        image_id=image.id,
        user_id=image.user_id,
        object_keys=image.object_keys,
        created_at=image.created_at,
    )


async def stale(intents: UploadIntents, user: str, before: datetime) -> list[UploadIntent]:
    return [intent async for intent in intents.stale(before) if intent.user_id == user]


async def test_an_announced_intent_is_found(intents: UploadIntents, user: str) -> None:
    image = make_image(user)
    assert not await intents.exists(image.id)

    await intents.announce(intent_of(image))

    assert await intents.exists(image.id)


async def test_the_stale_ones_are_listed_and_no_others(intents: UploadIntents, user: str) -> None:
    images = [make_image(user, at=moment(seconds)) for seconds in range(10)]
    for image in images:
        await intents.announce(intent_of(image))

    found = await stale(intents, user, moment(6))

    assert {intent.image_id for intent in found} == {image.id for image in images[:7]}


async def test_an_intent_goes_with_its_commit(
    repository: ImageRepository, intents: UploadIntents, user: str
) -> None:
    image = make_image(user)
    await intents.announce(intent_of(image))

    await repository.add(image, intent=intent_of(image))

    assert await repository.get(image.id) == image
    assert not await intents.exists(image.id)


async def test_without_its_intent_nothing_is_committed(
    repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    image = make_image(user)

    with pytest.raises(DependencyUnavailable):
        await repository.add(image, intent=intent_of(image))

    assert await repository.get(image.id) is None
    assert await lists.count(user, None) == 0


async def test_after_a_withdrawal_nothing_is_committed(
    repository: ImageRepository, intents: UploadIntents, user: str
) -> None:
    image = make_image(user)
    await intents.announce(intent_of(image))

    assert await intents.withdraw(intent_of(image)) is True
    assert await intents.withdraw(intent_of(image)) is True
    await intents.announce(intent_of(image))  # one that was long on its way

    with pytest.raises(DependencyUnavailable):
        await repository.add(image, intent=intent_of(image))
    assert await repository.get(image.id) is None
    assert await intents.exists(image.id)  # its files are still to be removed


async def test_after_the_commit_there_is_nothing_to_withdraw(
    repository: ImageRepository, intents: UploadIntents, user: str
) -> None:
    image = make_image(user)
    await intents.announce(intent_of(image))
    await repository.add(image, intent=intent_of(image))

    assert await intents.withdraw(intent_of(image)) is False

    assert await repository.get(image.id) == image


async def test_an_announcement_that_comes_after_the_commit_is_no_danger(
    repository: ImageRepository, intents: UploadIntents, user: str
) -> None:
    image = make_image(user)
    await intents.announce(intent_of(image))
    await repository.add(image, intent=intent_of(image))
    await intents.announce(intent_of(image))

    assert await intents.withdraw(intent_of(image)) is False

    assert not await intents.exists(image.id)
    assert await repository.get(image.id) == image


async def test_forget_can_be_repeated(intents: UploadIntents, user: str) -> None:
    intent = intent_of(make_image(user))
    await intents.announce(intent)

    await intents.forget(intent)
    await intents.forget(intent)

    assert await stale(intents, user, moment(60)) == []
