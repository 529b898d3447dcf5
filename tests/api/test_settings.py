"""A setting that is changed is a service that behaves differently: none is lost on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, photo, upload

from image_service.api.dependencies import state_of
from image_service.domain.renditions import RENDITIONS, RenditionSpec

BIG = photo(3000, 2000)


async def test_the_pictures_are_as_the_settings_say(
    open_app: OpenApp, new_client: NewClient, user: str
):
    changed = {
        "min_dimension": 50,
        "max_dimension": 300,
        "storage_class": "STANDARD",
    }
    async with (
        open_app(renditions(quality=1), **changed) as app,
        new_client(user, app=app) as client,
    ):
        image = await upload(client, photo(300, 150))
        assert (image["width"], image["height"], image["quality"]) == (128, 64, 60)
        assert (image["thumbnailWidth"], image["thumbnailHeight"]) == (64, 64)
        assert (await upload(client, photo(60, 50)))["width"] == 60
        for width, height in ((301, 200), (200, 49)):
            refused = await client.post(IMAGES, files={"file": photo(width, height)})
            assert refused.json()["code"] == "INVALID_DIMENSIONS"
            assert refused.json()["details"]["limit"] == {
                "minWidth": 50,
                "minHeight": 50,
                "maxWidth": 300,
                "maxHeight": 300,
            }
    assert await storage_class(image) == "STANDARD"
    async with open_app(renditions(quality=80)) as app, new_client(user, app=app) as client:
        finer = await upload(client, photo(300, 150))
    assert await storage_class(finer) == "INTELLIGENT_TIERING"
    assert await length(finer["thumbnailUrl"]) > 2 * await length(image["thumbnailUrl"])


def renditions(quality: int) -> list[RenditionSpec]:
    """The table, smaller; with that quality of the thumbnail."""
    main, thumbnail = RENDITIONS[:2]
    return [replace(main, side=128, quality=60), replace(thumbnail, side=64, quality=quality)]


async def length(url: str) -> int:
    async with httpx.AsyncClient() as browser:
        return len((await browser.get(url)).content)


async def storage_class(image: dict[str, Any]) -> str:
    """S3 names every class but the standard one."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.head(image["imageUrl"])
    assert answer.status_code == 200
    return str(answer.headers.get("x-amz-storage-class", "STANDARD"))


@pytest.mark.parametrize(
    ("limits", "refused"),
    [({"queue_timeout": 0.01, "user_share": 1}, True), ({"queue_timeout": 60}, False)],
    ids=["soon", "late"],
)
async def test_what_waits_for_too_long_is_refused(
    open_app: OpenApp, new_client: NewClient, user: str, limits: dict[str, Any], *, refused: bool
):
    async with (
        open_app(worker_threads=1, **limits) as app,
        new_client(user, app=app) as client,
    ):
        answers = await asyncio.gather(
            *(client.post(IMAGES, files={"file": BIG}) for _ in range(4))
        )
    assert {answer.status_code for answer in answers} == ({201, 503} if refused else {201})


async def test_one_user_s_share_leaves_room_for_another(
    open_app: OpenApp, new_client: NewClient, user: str
):
    async with (
        open_app(max_uploads=4, user_share=0.25) as app,
        new_client(user, app=app) as client,
        new_client(f"{user}-2", app=app) as other,
    ):
        with state_of(app).services.admission.receiving(user, 1000):
            assert (await client.post(IMAGES, files={"file": PHOTO})).status_code == 503
            await upload(other)
