from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from tests.api.conftest import NewClient, OpenApp
from tests.api.photos import IMAGES, photo, stored_object, upload
from tests.fault_proxy import Exchange, FaultProxy, passed_on

from image_service.api.schemas import USAGE_EXAMPLES

USAGE = "/usage"
NOTHING = {"imageCount": 0, "totalBytes": 0, "albums": None, "pagination": None}


async def usage(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    response = await client.get(USAGE, params=parameters)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def albums(client: httpx.AsyncClient, **parameters: Any) -> dict[str, tuple[int, int]]:
    """Over all pages; checks that each is full but the last, and in order."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await usage(client, by="album", cursor=cursor, **parameters)
        found += page["albums"]
        pagination = page["pagination"]
        assert pagination["hasMore"] == (pagination["nextCursor"] is not None)
        if not pagination["hasMore"]:
            break
        assert len(page["albums"]) == pagination["limit"]
        cursor = pagination["nextCursor"]
    assert [album["albumId"] for album in found] == sorted(album["albumId"] for album in found)
    return {album["albumId"]: (album["imageCount"], album["totalBytes"]) for album in found}


async def stored_bytes(emulator: str, *images: dict[str, Any]) -> int:
    """What lies in the bucket for the images."""
    keys = [image["thumbnailKey"] for image in images]
    for image in images:
        bucket = image["imageUrl"].removesuffix(image["s3Key"])
        keys += [each["url"].removeprefix(bucket) for each in image["renditions"]]
    objects = [await stored_object(emulator, key) for key in keys]
    assert {found.status_code for found in objects} == {200}
    return sum(len(found.content) for found in objects)


async def test_a_user_with_nothing(client: httpx.AsyncClient):
    assert await usage(client) == NOTHING
    assert await usage(client, by="album") == {
        "imageCount": 0,
        "totalBytes": 0,
        "albums": [],
        "pagination": {"limit": 20, "hasMore": False, "nextCursor": None},
    }


async def test_it_counts_what_lies_in_the_bucket(client: httpx.AsyncClient, emulator: str):
    plain = await upload(client)
    castle = await upload(client, photo(640, 480), albumId="castle")
    both = await stored_bytes(emulator, plain, castle)

    assert await usage(client) == NOTHING | {"imageCount": 2, "totalBytes": both}
    assert await albums(client) == {"castle": (1, await stored_bytes(emulator, castle))}


async def test_every_change_shows_at_once(client: httpx.AsyncClient):
    image = await upload(client, albumId="castle")
    size = (await usage(client))["totalBytes"]
    assert await albums(client) == {"castle": (1, size)}

    moved = {"albumId": "trains", "version": 1}
    assert (await client.patch(f"{IMAGES}/{image['id']}", json=moved)).status_code == 200
    assert await albums(client) == {"trains": (1, size)}

    loose = {"albumId": None, "version": 2}
    assert (await client.patch(f"{IMAGES}/{image['id']}", json=loose)).status_code == 200
    assert await albums(client) == {}
    assert (await usage(client))["imageCount"] == 1

    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    assert await usage(client) == NOTHING


async def test_it_asks_for_what_was_written_last(
    open_app: OpenApp, new_client: NewClient, user: str, emulator: str
):
    """By the requests: an emulator always answers with what was written last."""
    asked: dict[str, dict[str, Any]] = {}

    async def noted(exchange: Exchange) -> None:
        operation = exchange.described.rsplit(" ", 1)[1]
        asked[operation] = json.loads(exchange.request.partition(b"\r\n\r\n")[2])
        await passed_on(exchange)

    async with FaultProxy(emulator).running() as proxy:
        proxy.add(noted, on="(GetItem|Query)$", holding=user.encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
            async with open_app() as app, new_client(user, app=app) as client:
                await usage(client, by="album")
    assert asked.keys() == {"GetItem", "Query"}
    assert all(request["ConsistentRead"] for request in asked.values())


async def test_anothers_usage_is_never_visible(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
):
    for name in ("a", "b", "c"):
        await upload(stranger, albumId=name)
    cursor = (await usage(stranger, by="album", limit=1))["pagination"]["nextCursor"]

    assert await usage(client) == NOTHING
    assert await albums(client) == {}
    carried_over = await client.get(USAGE, params={"by": "album", "cursor": cursor})
    assert (carried_over.status_code, carried_over.json()["code"]) == (400, "INVALID_CURSOR")
    # Nor do two users with albums of the same name share a count.
    await upload(client, albumId="a")
    assert {name: count for name, (count, _) in (await albums(client)).items()} == {"a": 1}
    assert {name: count for name, (count, _) in (await albums(stranger)).items()} == {
        "a": 1,
        "b": 1,
        "c": 1,
    }


async def test_a_user_whose_id_begins_like_anothers(new_client, user: str):
    async with new_client(user) as short, new_client(f"{user}x") as longer:
        await upload(longer, albumId="castle")
        assert await usage(short) == NOTHING


async def test_albums_come_in_pages(client: httpx.AsyncClient):
    names = ["0", "A", "Z-1", "Z_1", "a"]
    await asyncio.gather(*(upload(client, albumId=name) for name in names))
    for limit in (1, 2, 4, 5, 100):
        assert list(await albums(client, limit=limit)) == names
    page = await usage(client, by="album", limit=2)
    assert (page["imageCount"], len(page["albums"])) == (5, 2)  # the total is over all pages


async def test_a_page_goes_on_where_an_album_was(client: httpx.AsyncClient):
    images = {name: await upload(client, albumId=name) for name in ("a", "b", "c")}
    cursor = (await usage(client, by="album", limit=2))["pagination"]["nextCursor"]
    assert (await client.delete(f"{IMAGES}/{images['b']['id']}")).status_code == 204
    page = await usage(client, by="album", limit=2, cursor=cursor)
    assert [album["albumId"] for album in page["albums"]] == ["c"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"by": "album", "cursor": "nonsense"},
        {"by": "album", "cursor": "é"},
        {"by": "album", "cursor": "A" * 5000},
        {"by": "album", "cursor": "A"},
        {"cursor": "AAAAAAAAAAAAAAA"},
    ],
)
async def test_a_cursor_that_was_never_given_out(client: httpx.AsyncClient, parameters):
    response = await client.get(USAGE, params=parameters)
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_CURSOR")


async def test_a_cursor_of_images_is_not_one_of_albums(client: httpx.AsyncClient):
    for name in ("a", "b"):
        await upload(client, albumId=name)
    of_images = (await client.get(IMAGES, params={"limit": 1})).json()["pagination"]["nextCursor"]
    of_albums = (await usage(client, by="album", limit=1))["pagination"]["nextCursor"]
    for path, cursor in ((USAGE, of_images), (IMAGES, of_albums)):
        by = {"by": "album"} if path == USAGE else {}
        response = await client.get(path, params={"cursor": cursor, **by})
        assert response.json()["code"] == "INVALID_CURSOR"
    other = ("B" if of_albums[0] == "A" else "A") + of_albums[1:]
    response = await client.get(USAGE, params={"by": "album", "cursor": other})
    assert response.json()["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"by": "tag"}, "by"),
        ({"by": "album", "limit": "0"}, "limit"),
        ({"by": "album", "limit": "101"}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"albumId": "castle"}, "albumId"),
        ({"userId": "somebody"}, "userId"),
        ({"by": ["album", "album"]}, "by"),
        ({"by": "album", "limit": ["1", "2"]}, "limit"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, parameters, field):
    response = await client.get(USAGE, params=parameters)
    assert response.status_code == 400, response.text
    error = response.json()
    assert error["code"] == "VALIDATION_FAILED"
    assert [fault["field"] for fault in error["details"]] == [field]


async def test_an_etag_until_something_changes(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
):
    await upload(client, albumId="castle")
    first = await client.get(USAGE)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    for sent in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = await client.get(USAGE, headers={"If-None-Match": sent})
        assert (response.status_code, response.content) == (304, b""), sent
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "private, no-cache"

    by_album = await client.get(USAGE, params={"by": "album"})
    assert by_album.headers["etag"] != tag
    await upload(stranger)
    assert (await client.get(USAGE, headers={"If-None-Match": tag})).status_code == 304
    await upload(client)
    for sent in (tag, "not quoted", '"x"'):
        changed = await client.get(USAGE, headers={"If-None-Match": sent})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


async def test_it_is_closed_and_counted(anonymous: httpx.AsyncClient, client: httpx.AsyncClient):
    refused = await anonymous.get(USAGE)
    assert (refused.status_code, refused.json()["code"]) == (401, "TOKEN_MISSING")
    answered = await client.get(USAGE)
    assert int(answered.headers["x-ratelimit-remaining"]) < int(
        answered.headers["x-ratelimit-limit"]
    )
    head = await client.head(USAGE)
    assert (head.status_code, head.content) == (200, b"")
    wrong = await client.post(USAGE)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")


async def test_it_is_described_as_it_answers(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
):
    await upload(client, albumId="castle")
    document = (await anonymous.get("/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/Usage", "components": document["components"]}
    validator = Draft202012Validator(schema)
    assert document["components"]["schemas"]["Usage"]["examples"] == USAGE_EXAMPLES
    for answer in (*USAGE_EXAMPLES, await usage(client), await usage(client, by="album")):
        validator.validate(answer)
        assert set(answer) == set(document["components"]["schemas"]["Usage"]["required"])
    parameters = document["paths"]["/usage"]["get"]["parameters"]
    assert {parameter.get("name") for parameter in parameters} - {None} == {
        *("by", "limit", "cursor", "If-None-Match"),
    }
