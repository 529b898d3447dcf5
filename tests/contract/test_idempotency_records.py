from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.contract.samples import make_image

from image_service.domain.errors import IdempotencyInProgress, IdempotencyKeyReused
from image_service.domain.times import utc_now
from image_service.domain.uploads import CLAIM_LEASE, RESPONSE_KEPT, Claim
from image_service.ports import IdempotencyRecords, ImageLists, ImageRepository


def new_claim(user: str, *, at: datetime | None = None, content: str = "content") -> Claim:
    at = at or utc_now()
    return Claim(
        user_id=user,
        key='"8e03978e" ~!',
        fingerprint=content,
        owner=secrets.token_hex(8),
        claimed_at=at,
        expires_at=at + CLAIM_LEASE,
    )


async def test_a_free_key_is_claimed_once(records: IdempotencyRecords, user: str) -> None:
    assert await records.claim(new_claim(user)) is None

    with pytest.raises(IdempotencyInProgress) as caught:
        await records.claim(new_claim(user))

    assert 1 <= caught.value.retry_after <= CLAIM_LEASE.seconds


async def test_a_claim_may_be_repeated(records: IdempotencyRecords, user: str) -> None:
    mine = new_claim(user)

    assert await records.claim(mine) is None
    assert await records.claim(mine) is None  # the first answer was lost


async def test_what_was_committed_is_the_answer(
    records: IdempotencyRecords, repository: ImageRepository, user: str
) -> None:
    image, mine = make_image(user, album_id="castles"), new_claim(user)
    await records.claim(mine)
    await repository.add(image, claim=mine)
    await repository.update(image, image.edited({"title": "New"}, utc_now()))

    assert await records.claim(new_claim(user)) == image


async def test_other_content_is_refused(
    records: IdempotencyRecords, repository: ImageRepository, user: str
) -> None:
    mine = new_claim(user)
    await records.claim(mine)
    with pytest.raises(IdempotencyKeyReused):
        await records.claim(new_claim(user, content="other"))

    await repository.add(make_image(user), claim=mine)
    with pytest.raises(IdempotencyKeyReused):
        await records.claim(new_claim(user, content="other"))


async def test_a_released_key_is_free_for_any_content(
    records: IdempotencyRecords, user: str
) -> None:
    mine = new_claim(user)
    await records.claim(mine)

    await records.release(mine)
    await records.release(mine)

    assert await records.claim(new_claim(user, content="other")) is None


async def test_only_its_owner_releases_a_key(records: IdempotencyRecords, user: str) -> None:
    await records.claim(new_claim(user))

    await records.release(new_claim(user))

    with pytest.raises(IdempotencyInProgress):
        await records.claim(new_claim(user))


async def test_an_answer_is_not_released(
    records: IdempotencyRecords, repository: ImageRepository, user: str
) -> None:
    image, mine = make_image(user), new_claim(user)
    await records.claim(mine)
    await repository.add(image, claim=mine)

    await records.release(mine)

    assert await records.claim(new_claim(user)) == image


async def test_a_lease_that_ran_out_is_taken_over(
    records: IdempotencyRecords, repository: ImageRepository, lists: ImageLists, user: str
) -> None:
    late = new_claim(user, at=utc_now() - CLAIM_LEASE - timedelta(seconds=1))
    await records.claim(late)
    heir = new_claim(user, content="other")
    assert await records.claim(heir) is None

    with pytest.raises(IdempotencyInProgress):
        await repository.add(make_image(user), claim=late)
    await records.release(late)

    image = make_image(user)
    await repository.add(image, claim=heir)
    assert await records.claim(new_claim(user, content="other")) == image
    assert await lists.count(user, None) == 1


async def test_nobody_commits_on_a_lease_that_ran_out(
    records: IdempotencyRecords, repository: ImageRepository, user: str
) -> None:
    late = new_claim(user, at=utc_now() - CLAIM_LEASE - timedelta(seconds=1))
    await records.claim(late)
    image = make_image(user)

    with pytest.raises(IdempotencyInProgress):
        await repository.add(image, claim=late)

    assert await repository.get(image.id) is None


async def test_an_answer_is_kept_for_a_day(
    records: IdempotencyRecords, repository: ImageRepository, user: str
) -> None:
    """The store itself removes it hours later."""
    image, mine = make_image(user), new_claim(user)
    await records.claim(mine)
    await repository.add(image, claim=mine)
    almost = utc_now() + RESPONSE_KEPT - timedelta(minutes=1)

    assert await records.claim(new_claim(user, at=almost)) == image
    tomorrow = new_claim(user, at=almost + timedelta(minutes=2), content="other")
    assert await records.claim(tomorrow) is None


async def test_keys_belong_to_their_user(records: IdempotencyRecords, user: str) -> None:
    await records.claim(new_claim(user))

    assert await records.claim(new_claim(f"{user}-2", content="other")) is None
    assert await records.claim(replace(new_claim(user), key="another")) is None
