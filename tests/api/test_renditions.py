"""The pictures by width that pages choose from: in responses, at the CDN, in the usage."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, photo, upload

WIDE = photo(1500, 150)
NAMES = ["w320", "w640", "w1280", "main"]


async def load(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as browser:
        return await browser.get(url)


def assert_consistent(image: dict[str, Any]) -> None:
    renditions = image["renditions"]
    assert image["srcset"] == ", ".join(f"{each['url']} {each['width']}w" for each in renditions)
    assert [each["width"] for each in renditions] == sorted(each["width"] for each in renditions)
    assert renditions[-1] == {
        "name": "main",
        "url": image["imageUrl"],
        "width": image["width"],
        "height": image["height"],
        "bytes": image["processedSize"],
        "mimeType": "image/webp",
    }


async def test_each_is_as_it_is_described(client: httpx.AsyncClient, user: str):
    image = await upload(client, WIDE)
    assert_consistent(image)
    assert [each["name"] for each in image["renditions"]] == NAMES
    sizes = [(each["width"], each["height"]) for each in image["renditions"]]
    assert sizes == [(320, 32), (640, 64), (1280, 128), (1500, 150)]
    for each in image["renditions"]:
        file = await load(each["url"])
        assert file.headers["content-type"] == each["mimeType"]
        assert len(file.content) == each["bytes"]
        assert Image.open(io.BytesIO(file.content)).size == (each["width"], each["height"])
        if each["name"] != "main":
            assert each["url"].endswith(f"/images/{user}/{image['id']}/{each['name']}.webp")


async def test_they_are_in_every_response(client: httpx.AsyncClient):
    image = await upload(client, WIDE)
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image
    assert (await client.get(IMAGES)).json()["images"] == [image]
    edited = await client.patch(f"{IMAGES}/{image['id']}", json={"title": "x", "version": 1})
    assert edited.json()["renditions"] == image["renditions"]
    assert edited.json()["srcset"] == image["srcset"]


async def test_the_usage_is_of_all_that_is_stored(client: httpx.AsyncClient):
    image = await upload(client, WIDE)
    thumbnail = len((await load(image["thumbnailUrl"])).content)
    stored = thumbnail + sum(each["bytes"] for each in image["renditions"])
    assert (await client.get("/usage")).json()["totalBytes"] == stored


async def test_all_are_deleted(client: httpx.AsyncClient):
    image = await upload(client, WIDE)
    await client.delete(f"{IMAGES}/{image['id']}")
    for url in (image["thumbnailUrl"], *(each["url"] for each in image["renditions"])):
        assert (await load(url)).status_code in {403, 404}


@pytest.mark.parametrize(
    ("width", "names"), [(100, []), (352, []), (353, ["w320"]), (705, ["w320", "w640"])]
)
async def test_small_pictures_have_fewer(client: httpx.AsyncClient, width: int, names: list[str]):
    image = await upload(client, photo(width, 100))
    assert_consistent(image)
    assert [each["name"] for each in image["renditions"]] == [*names, "main"]


async def test_an_image_of_an_older_release_has_its_main_picture(
    open_app: OpenApp, new_client: NewClient, user: str, client: httpx.AsyncClient
):
    key = {"Idempotency-Key": "once"}
    async with open_app(rendition_widths=()) as older, new_client(user, app=older) as before:
        image = (await before.post(IMAGES, files={"file": WIDE}, headers=key)).json()
    assert [each["name"] for each in image["renditions"]] == ["main"]
    assert_consistent(image)
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == image
    assert (await client.get(IMAGES)).json()["images"] == [image]
    again = await client.post(IMAGES, files={"file": WIDE}, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == image
    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    assert (await load(image["imageUrl"])).status_code in {403, 404}


async def test_the_settings_name_the_widths(open_app: OpenApp, new_client: NewClient, user: str):
    async with (
        open_app(rendition_widths=(100, 500)) as app,
        new_client(user, app=app) as client,
    ):
        image = await upload(client, WIDE)
    assert [each["name"] for each in image["renditions"]] == ["w100", "w500", "main"]
