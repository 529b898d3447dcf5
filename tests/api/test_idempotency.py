"""The Idempotency-Key header: one picture, however often the request comes."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import Any

import httpx
import pytest
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, photo

HEADERS = ("location", "etag", "content-type")


def key() -> str:
    return secrets.token_hex(12)


async def post(
    client: httpx.AsyncClient,
    key: str | None,
    data: bytes = PHOTO,
    name: str = "a.jpg",
    **fields: Any,
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    files = {"file": (name, data, "image/jpeg")}
    return await client.post(IMAGES, files=files, data=fields, headers=headers)


async def count(client: httpx.AsyncClient) -> int:
    total: int = (await client.get(IMAGES)).json()["totalCount"]
    return total


async def test_a_repeat_gets_the_first_answer(client: httpx.AsyncClient):
    mine = key()
    first = await post(client, mine, title="Gate", tags=["a", "b"])
    again = await post(client, mine, title=" Gate ", tags='["a", "b"]')  # the same, once clean
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert [again.headers[name] for name in HEADERS] == [first.headers[name] for name in HEADERS]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(client) == 1


async def test_a_repeat_after_an_edit_or_a_deletion_gets_the_first_answer(
    client: httpx.AsyncClient,
):
    mine = key()
    first = await post(client, mine, title="Gate", albumId="castle")
    url = first.headers["location"]
    await client.patch(url, json={"title": "Moat", "albumId": None, "version": 1})
    edited = await post(client, mine, title="Gate", albumId="castle")
    assert (edited.content, edited.headers["etag"]) == (first.content, '"1"')
    await client.delete(url)
    deleted = await post(client, mine, title="Gate", albumId="castle")
    assert (deleted.status_code, deleted.content) == (201, first.content)
    assert (await client.get(url)).status_code == 404
    assert await count(client) == 0


@pytest.mark.parametrize("change", [{"title": "Moat"}, {"data": photo(200, 150)}, {"tags": "x"}])
async def test_other_content_under_the_same_key_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any]
):
    mine = key()
    await post(client, mine, title="Gate")
    response = await post(client, mine, **{"title": "Gate", **change})
    assert response.status_code == 422
    assert response.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert response.json()["error"] == "IdempotencyError"
    assert await count(client) == 1


async def test_another_name_of_the_file_is_no_other_content(client: httpx.AsyncClient):
    mine = key()
    await post(client, mine, name="IMG_1.jpg")
    again = await post(client, mine, name="tmp-4711.jpg")
    assert again.status_code == 201
    assert again.json()["originalFilename"] == "IMG_1.jpg"


async def test_without_a_key_each_request_is_one(client: httpx.AsyncClient):
    for _ in range(2):
        assert (await post(client, None)).status_code == 201
    assert await count(client) == 2


async def test_users_may_use_the_same_key(client: httpx.AsyncClient, stranger: httpx.AsyncClient):
    mine = key()
    first, second = await post(client, mine), await post(stranger, mine)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


async def test_after_a_refusal_the_key_is_free(client: httpx.AsyncClient):
    mine = key()
    assert (await post(client, mine, PHOTO[: len(PHOTO) // 2])).status_code == 400
    response = await post(client, mine)
    assert response.status_code == 201
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize("bad", ["", " ", "a b", "x" * 256, "schl\u00fcssel", "a\tb"])
async def test_a_bad_key_is_refused(client: httpx.AsyncClient, bad: str):
    headers = [(b"Idempotency-Key", bad.encode("latin-1"))]
    response = await client.post(
        IMAGES, files={"file": ("a.jpg", PHOTO, "image/jpeg")}, headers=headers
    )
    assert response.status_code == 400
    assert response.json()["code"] == "VALIDATION_FAILED"
    assert response.json()["details"][0]["field"] == "Idempotency-Key"
    assert await count(client) == 0


async def test_two_keys_are_refused(client: httpx.AsyncClient):
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    response = await client.post(
        IMAGES, files={"file": ("a.jpg", PHOTO, "image/jpeg")}, headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_FAILED")


@pytest.mark.parametrize("good", ["x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~#%/"])
async def test_any_visible_ascii_is_a_key(client: httpx.AsyncClient, good: str):
    assert (await post(client, good)).status_code == 201
    assert (await post(client, good)).headers["idempotency-replayed"] == "true"


async def test_ten_copies_over_two_tasks_make_one_image(
    open_app: OpenApp, new_client: NewClient, user: str
):
    mine = key()
    async with (
        open_app() as one,
        open_app() as two,
        new_client(user, one) as first,
        new_client(user, two) as second,
    ):
        answers = await asyncio.gather(
            *(post(client, mine) for client in (first, second) for _ in range(5))
        )
        replay = await post(second, mine)
        assert await count(first) == 1
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert statuses[201] >= 1
    assert {a.json()["id"] for a in answers if a.status_code == 201} == {replay.json()["id"]}
    for refused in (answer for answer in answers if answer.status_code == 409):
        assert refused.json()["code"] == "IDEMPOTENCY_IN_PROGRESS"
        assert int(refused.headers["retry-after"]) >= 1
    assert replay.headers["idempotency-replayed"] == "true"
