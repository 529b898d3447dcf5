from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, PHOTO, raw_form, stored_object, upload

JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=cut-here"}


async def edit(
    client: httpx.AsyncClient, image: dict[str, Any], json: Any, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(f"{IMAGES}/{image['id']}", json=json, headers=named)


STORMS: dict[str, tuple[str, Any, dict[str, str], set[int]]] = {
    "edits": ("PATCH", {"title": "x"}, {"If-Match": "*"}, {200}),
    "moves": ("PATCH", {"albumId": "b", "tags": ["y", "z"]}, {"If-Match": "*"}, {200}),
    "deletions": ("DELETE", None, {}, {204, 404}),
    "deletions of any": ("DELETE", None, {"If-Match": "*"}, {204, 404}),
}


@pytest.mark.slow
@pytest.mark.parametrize("storm", STORMS)
async def test_a_storm_of_writes_of_one_image_over_two_tasks_is_never_an_outage(
    open_app: OpenApp,
    new_client: NewClient,
    client: httpx.AsyncClient,
    user: str,
    storm: str,
):
    method, json, headers, expected = STORMS[storm]
    image = await upload(client, albumId="a", tags=["x"])
    async with open_app() as app, new_client(user, app=app) as other:
        writes = [
            task.request(method, f"{IMAGES}/{image['id']}", json=json, headers=headers)
            for task in (client, other) * 20
        ]
        answers = await asyncio.gather(*writes)
    conflicts = [answer for answer in answers if answer.status_code in {409, 412}]
    done = [answer for answer in answers if answer.status_code in expected]
    assert len(conflicts) + len(done) == 40, Counter(answer.status_code for answer in answers)
    assert {answer.json()["code"] for answer in conflicts} <= {"VERSION_MISMATCH"}
    if method == "PATCH":
        now = (await client.get(f"{IMAGES}/{image['id']}")).json()
        assert now["version"] == 1 + len(done)
    else:
        assert [answer.status_code for answer in done].count(204) == 1


async def test_an_edit_by_body_version(client: httpx.AsyncClient):
    image = await upload(client, title="Old", description="Stays", tags=["a"])
    response = await edit(
        client, image, {"title": " New ", "altText": "Alt", "tags": ["b", "B", "c"], "version": 1}
    )
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'
    edited = response.json()
    changed = {name for name in image if image[name] != edited[name]}
    assert changed == {"title", "altText", "tags", "version", "updatedAt"}
    assert (edited["title"], edited["altText"], edited["tags"]) == ("New", "Alt", ["b", "c"])
    assert edited["version"] == 2
    assert (await client.get(f"{IMAGES}/{image['id']}")).json() == edited


async def test_null_clears(client: httpx.AsyncClient):
    image = await upload(client, title="T", description="D", altText="A", albumId="x", tags=["t"])
    nothing = {"title": None, "description": None, "altText": None, "albumId": None, "tags": None}
    edited = (await edit(client, image, {**nothing, "version": 1})).json()
    assert {name: edited[name] for name in nothing} == {**nothing, "tags": []}
    assert (await client.get(IMAGES, params={"albumId": "x"})).json()["totalCount"] == 0
    assert (await client.get(IMAGES, params={"tag": "t"})).json()["images"] == []


async def test_moving_between_albums_and_tags_moves_lists_and_counts(client: httpx.AsyncClient):
    image = await upload(client, albumId="one", tags=["red", "old"])
    await edit(client, image, {"albumId": "two", "tags": ["Red", "new"], "version": 1})

    async def found(**parameters: str) -> tuple[int, Any]:
        page = (await client.get(IMAGES, params=parameters)).json()
        return len(page["images"]), page["totalCount"]

    assert await found(albumId="one") == (0, 0)
    assert await found(albumId="two") == (1, 1)
    assert await found(tag="old") == (0, None)
    assert await found(tag="new") == (1, None)
    assert await found(tag="red", albumId="two") == (1, None)
    assert await found(tag="red", albumId="one") == (0, None)
    assert await found() == (1, 1)


@pytest.mark.parametrize("if_match", ['"1"', 'W/"1"', '"9", "1"', "*"])
async def test_an_edit_by_if_match(client: httpx.AsyncClient, if_match: str):
    image = await upload(client)
    response = await edit(client, image, {"title": "New"}, If_Match=if_match)
    assert (response.status_code, response.json()["version"]) == (200, 2)


async def test_stale_versions_are_refused(client: httpx.AsyncClient):
    image = await upload(client)
    await edit(client, image, {"title": "Mine", "version": 1})
    by_body = await edit(client, image, {"title": "Yours", "version": 1})
    assert (by_body.status_code, by_body.json()["error"]) == (409, "ConflictError")
    by_header = await edit(client, image, {"title": "Yours"}, If_Match='"1"')
    assert (by_header.status_code, by_header.json()["error"]) == (412, "PreconditionFailed")
    both = await edit(client, image, {"title": "Yours", "version": 2}, If_Match='"1"')
    assert both.status_code == 412
    for response in (by_body, by_header, both):
        assert response.json()["code"] == "VERSION_MISMATCH"
        assert response.json()["currentVersion"] == 2
    assert (await client.get(f"{IMAGES}/{image['id']}")).json()["title"] == "Mine"


async def test_the_order_of_the_checks(client: httpx.AsyncClient, stranger: httpx.AsyncClient):
    image = await upload(client)
    bad, unversioned = {"titel": "x"}, {"title": "x"}
    missing = {"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
    assert (await edit(stranger, missing, bad)).status_code == 400
    assert (await edit(stranger, missing, unversioned)).status_code == 404
    assert (await edit(stranger, image, unversioned)).status_code == 403
    response = await edit(client, image, unversioned)
    assert (response.status_code, response.json()["code"]) == (428, "VERSION_REQUIRED")
    assert (await edit(stranger, image, {"version": 9})).status_code == 403
    assert (await edit(client, image, {"version": 9})).status_code == 409


async def test_every_accepted_edit_raises_the_version(client: httpx.AsyncClient):
    image = await upload(client, title="Same")
    response = await edit(client, image, {"title": "Same", "version": 1})
    assert response.json()["version"] == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"titel": "x"}, ["titel"]),
        ({"userId": "x"}, ["userId"]),
        ({"alt_text": "x"}, ["alt_text"]),
        ({"title": 5}, ["title"]),
        ({"title": "x" * 256}, ["title"]),
        ({"description": "x" * 5001, "albumId": "a/b"}, ["description", "albumId"]),
        ({"tags": "red"}, ["tags"]),
        ({"tags": ["red", 5]}, ["tags.1"]),
        ({"tags": [""]}, ["tags"]),
        ({"tags": ["\u200b"]}, ["tags"]),
        ({f"field{n}": n for n in range(51)}, ["body"]),
        ({"version": 0}, ["version"]),
        ({"version": "1"}, ["version"]),
        ({"version": True}, ["version"]),
        ([], ["body"]),
    ],
)
async def test_bad_changes_are_named(client: httpx.AsyncClient, body: Any, fields: list[str]):
    image = await upload(client)
    response = await edit(client, image, body, If_Match="*")
    assert response.status_code == 400
    error = response.json()
    assert error["code"] == "VALIDATION_FAILED"
    assert [fault["field"] for fault in error["details"]] == fields


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value, line 1, column 1"),
        (b'{"title":\n "x"', "Expecting ',' delimiter, line 2, column 5"),
        (b"\xff", "byte 1 is not UTF-8"),
        (b'{"title": "\xed\xa0\xbd"}', "byte 12 is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"version": NaN}', "NaN is no JSON number"),
        (b'{"version": ' + b"1" * 5000 + b"}", "a number has 5000 digits; the limit is 100"),
    ],
)
async def test_a_body_that_is_no_json(client: httpx.AsyncClient, content: bytes, message: str):
    response = await client.patch(
        f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV", content=content, headers=JSON
    )
    assert (response.status_code, response.json()["code"]) == (400, "MALFORMED_BODY")
    assert (
        response.json()["message"] == f"The body can't be read as JSON: {message}; send one object."
    )


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (JSON, b" " * 200_000, 413, "FILE_TOO_LARGE"),
    ],
)
async def test_another_kind_of_body(client: httpx.AsyncClient, headers, content, status, code):
    response = await client.patch(
        f"{IMAGES}/01ARZ3NDEKTSV4RRFFQ69G5FAV", content=content, headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (status, code)


# What two programs write of one text; the same by upload and by edit.
TEXTS = [
    ("Red\ncastle\twith moat", "Red castle with moat", "Red\ncastle\twith moat"),
    ("one\r\ntwo\u2028three\x85four", "one two three four", "one\ntwo\nthree\nfour"),
    ("Cafe\u0301\0", "Café", "Café"),
    ("o\u0323\u0302" * 150, "\u1ed9" * 150, "\u1ed9" * 150),
    ("\u200b\u200b", None, None),
    (" \ufeff \u3164", None, None),
]


@pytest.mark.parametrize(("sent", "line", "lines"), TEXTS)
async def test_both_routes_read_texts_alike(client: httpx.AsyncClient, sent, line, lines):
    fields = {"title": sent, "altText": sent, "description": sent}
    uploaded = await upload(client, **fields)
    edited = (await edit(client, await upload(client), {**fields, "version": 1})).json()
    for image in (uploaded, edited):
        assert (image["title"], image["altText"], image["description"]) == (line, line, lines)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("array", "tags"),
    [
        (rb'["castle", "red\u000amoat"]', ["castle", "red moat"]),
        (rb'["half \ud83d", "\ud83c\udff0"]', ["half", "\U0001f3f0"]),
        (rb'["caf\u0065\u0301", "CAF\u00c9"]', ["café"]),
    ],
)
async def test_both_routes_read_json_alike(client: httpx.AsyncClient, mark, array, tags):
    form = raw_form(('name="file"; filename="a.jpg"', PHOTO), ('name="tags"', mark + array))
    uploaded = await client.post(IMAGES, content=form, headers=MULTIPART)
    assert (uploaded.status_code, uploaded.json()["tags"]) == (201, tags)
    edited = await client.patch(
        f"{IMAGES}/{uploaded.json()['id']}",
        content=mark + b'{"version": 1, "title": "cut \\udff0", "tags": ' + array + b"}",
        headers=JSON,
    )
    assert (edited.status_code, edited.json()["tags"]) == (200, tags)
    assert edited.json()["title"] == "cut"


@pytest.mark.parametrize("if_match", ["1", '"1', "", 'W/1, "2"', '"\u00e9'])
async def test_a_malformed_if_match_is_named(client: httpx.AsyncClient, if_match: str):
    image = await upload(client)
    response = await client.patch(
        f"{IMAGES}/{image['id']}",
        json={"title": "x"},
        headers=[(b"If-Match", if_match.encode("latin-1"))],
    )
    assert response.status_code == 400
    assert response.json()["details"][0]["field"] == "If-Match"


async def test_delete_removes_everything(client: httpx.AsyncClient, emulator: str):
    image = await upload(client, albumId="x", tags=["t"])
    response = await client.delete(f"{IMAGES}/{image['id']}")
    assert (response.status_code, response.content) == (204, b"")
    for key in (image["s3Key"], image["thumbnailKey"]):
        assert (await stored_object(emulator, key)).status_code == 404
    for parameters in ({}, {"albumId": "x"}, {"tag": "t"}):
        page = (await client.get(IMAGES, params=parameters)).json()
        assert page["images"] == []
        assert page["totalCount"] in (0, None)
    for again in (
        await client.delete(f"{IMAGES}/{image['id']}"),
        await client.get(f"{IMAGES}/{image['id']}"),
        await edit(client, image, {"version": 1}),
    ):
        assert (again.status_code, again.json()["code"]) == (404, "IMAGE_NOT_FOUND")


async def test_a_stranger_cannot_delete(client: httpx.AsyncClient, stranger: httpx.AsyncClient):
    image = await upload(client)
    response = await stranger.delete(f"{IMAGES}/{image['id']}", headers={"If-Match": "*"})
    assert (response.status_code, response.json()["code"]) == (403, "NOT_AUTHORIZED")
    assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 200


async def test_delete_honours_if_match(client: httpx.AsyncClient):
    image = await upload(client)
    await edit(client, image, {"version": 1})
    url = f"{IMAGES}/{image['id']}"
    stale = await client.delete(url, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["currentVersion"]) == (412, 2)
    assert (await client.delete(url, headers={"If-Match": '"2"'})).status_code == 204
