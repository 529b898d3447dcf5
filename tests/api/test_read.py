from __future__ import annotations

import httpx
import pytest
from tests.api.photos import IMAGES, upload


async def test_get_right_after_upload(client: httpx.AsyncClient):
    image = await upload(client, title="Gate")
    response = await client.get(f"{IMAGES}/{image['id']}")
    assert response.status_code == 200
    assert response.json() == image
    assert response.headers["etag"] == '"1"'
    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', '"7", W/"1"', "*"])
async def test_a_matching_etag_gives_304(client: httpx.AsyncClient, etag: str):
    image = await upload(client)
    response = await client.get(f"{IMAGES}/{image['id']}", headers={"If-None-Match": etag})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == '"1"'
    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("etag", ['"2"', "1", '"', '""'])
async def test_another_etag_gives_the_image(client: httpx.AsyncClient, etag: str):
    image = await upload(client)
    response = await client.get(f"{IMAGES}/{image['id']}", headers={"If-None-Match": etag})
    assert response.status_code == 200


async def test_another_users_image_is_forbidden_whatever_etag(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
):
    image = await upload(client)
    for headers in ({}, {"If-None-Match": '"1"'}, {"If-None-Match": "*"}):
        response = await stranger.get(f"{IMAGES}/{image['id']}", headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "NOT_AUTHORIZED")
        assert image["userId"] not in response.text


@pytest.mark.parametrize(
    "image_id",
    [
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",  # well-formed, unknown
        "01arz3ndektsv4rrffq69g5fav",
        "nonsense",
        "81ARZ3NDEKTSV4RRFFQ69G5FAV",
        "%2e%2e",
        "IMAGE%23x",
        "\u00e9",
        "0" * 3000,
    ],
)
async def test_an_unknown_or_malformed_id_is_not_found(client: httpx.AsyncClient, image_id: str):
    for method in ("GET", "DELETE"):
        response = await client.request(method, f"{IMAGES}/{image_id}")
        assert (response.status_code, response.json()["code"]) == (404, "IMAGE_NOT_FOUND")
