from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.api.photos import IMAGES, upload


async def listed(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    response = await client.get(IMAGES, params=parameters)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def walked(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    """Ids over all pages; checks that no page is empty or short before the last."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = await listed(client, cursor=cursor, **parameters)
        ids += [image["id"] for image in page["images"]]
        pagination = page["pagination"]
        assert pagination["hasMore"] == (pagination["nextCursor"] is not None)
        if not pagination["hasMore"]:
            return ids
        assert len(page["images"]) == pagination["limit"]
        cursor = pagination["nextCursor"]


async def test_an_empty_library(client: httpx.AsyncClient):
    assert await listed(client) == {
        "images": [],
        "pagination": {"limit": 20, "hasMore": False, "nextCursor": None},
        "totalCount": 0,
    }


async def test_pages_are_exact_in_both_orders(client: httpx.AsyncClient):
    images = [await upload(client, title=f"{n}") for n in range(4)]
    oldest_first = [image["id"] for image in images]
    for limit in (1, 2, 3, 4, 100):
        assert await walked(client, limit=limit, sortOrder="asc") == oldest_first
        assert await walked(client, limit=limit) == oldest_first[::-1]
    page = await listed(client, limit=4)
    assert page["images"] == images[::-1]
    assert page["totalCount"] == 4


async def test_albums_and_tags_filter_and_count(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
):
    both = await upload(client, albumId="castle", tags=["Red", "gate"])
    red = await upload(client, tags=["red"])
    castle = await upload(client, albumId="castle")
    theirs = await upload(stranger, albumId="castle", tags=["red"])

    assert await walked(client, albumId="castle", limit=1) == [castle["id"], both["id"]]
    assert await walked(client, tag="RED", limit=1) == [red["id"], both["id"]]
    assert await walked(client, tag=["red", "GATE"]) == [both["id"]]
    assert await walked(client, tag="red", albumId="castle") == [both["id"]]
    assert await walked(client, tag="blue") == []
    for brackets in ({"tag[]": "red"}, {"tag[]": ["red", "RED"]}, {"tag[]": "", "tag": "red"}):
        assert await walked(client, **brackets) == [red["id"], both["id"]]
    assert await walked(client, **{"tag[]": "red", "tag": "gate"}) == [both["id"]]
    assert await walked(client, albumId="\ufeffcastle ") == await walked(client, albumId="castle")
    assert len(await walked(client, tag="", albumId="")) == 3  # not given
    assert await walked(stranger, albumId="castle") == [theirs["id"]]

    assert (await listed(client))["totalCount"] == 3
    assert (await listed(client, albumId="castle"))["totalCount"] == 2
    assert (await listed(client, tag="red"))["totalCount"] is None


async def test_dates_are_inclusive_then_exclusive(client: httpx.AsyncClient):
    first, second, third = [await upload(client) for _ in range(3)]
    at = second["uploadedAt"]
    assert await walked(client, uploadedAfter=at) == [third["id"], second["id"]]
    assert await walked(client, uploadedBefore=at) == [first["id"]]
    moment = datetime.fromisoformat(at)
    just_after = (moment + timedelta(milliseconds=1)).isoformat()
    assert await walked(client, uploadedAfter=at, uploadedBefore=just_after) == [second["id"]]
    # Within a millisecond, the bound that leaves the same images out.
    between = (moment + timedelta(microseconds=1)).isoformat()
    assert await walked(client, uploadedBefore=between) == [second["id"], first["id"]]
    assert await walked(client, uploadedAfter=between) == [third["id"]]
    assert (await listed(client, uploadedAfter=at))["totalCount"] is None


async def test_a_zone_whose_plus_was_not_escaped_is_understood(client: httpx.AsyncClient):
    image = await upload(client)
    response = await client.get(f"{IMAGES}?uploadedAfter=2020-01-01T00:00:00+02:00")
    assert [found["id"] for found in response.json()["images"]] == [image["id"]]


async def test_a_cursor_is_bound_to_its_filters_and_user(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
):
    for _ in range(3):
        await upload(client, tags="red", albumId="castle")
    cursor = (await listed(client, limit=1, tag="red"))["pagination"]["nextCursor"]
    assert len((await listed(client, limit=2, tag="RED", cursor=cursor))["images"]) == 2

    tampered = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for other in (
        {"cursor": cursor},
        {"cursor": cursor, "tag": "blue"},
        {"cursor": cursor, "tag": "red", "albumId": "castle"},
        {"cursor": cursor, "tag": "red", "sortOrder": "asc"},
        {"cursor": cursor, "tag": "red", "uploadedAfter": "2020-01-01T00:00:00Z"},
        {"cursor": tampered, "tag": "red"},
        {"cursor": "nonsense", "tag": "red"},
        {"cursor": "\u00e9", "tag": "red"},
        {"cursor": "A" * 5000, "tag": "red"},
    ):
        response = await client.get(IMAGES, params=other)
        assert (response.status_code, response.json()["code"]) == (400, "INVALID_CURSOR")
    response = await stranger.get(IMAGES, params={"cursor": cursor, "tag": "red"})
    assert response.json()["code"] == "INVALID_CURSOR"


async def test_dates_at_the_ends_of_the_calendar(client: httpx.AsyncClient):
    image = await upload(client)
    ends = {"uploadedAfter": "0001-01-01T00:00:00", "uploadedBefore": "9999-12-31T23:59:59.9999999"}
    for zone in ("Z", "+00", " 00", "+14:00", "-12:00", " UTC"):
        found = await walked(client, **{name: text + zone for name, text in ends.items()})
        assert found == [image["id"]]
    assert await walked(client, uploadedBefore=ends["uploadedAfter"] + "+14:00") == []
    assert await walked(client, uploadedAfter=ends["uploadedBefore"] + "-12:00") == []


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("2026-01-31T09:30:00", "has no zone"),
        ("2026-02-30T09:30:00Z", "is no moment: day is out of range for month"),
        ("1769851800", "is not ISO 8601"),
    ],
)
async def test_what_is_wrong_with_a_date(client: httpx.AsyncClient, text: str, cause: str):
    response = await client.get(IMAGES, params={"uploadedAfter": text})
    assert response.json()["message"] == (
        f"uploadedAfter: {cause}; write it as 2026-01-31T09:30:00Z or 2026-01-31T10:30:00%2B01:00"
    )


@pytest.mark.parametrize("stored", ["red\u00a0castle", "Red castle", "red\u200b castle\ufeff"])
async def test_tags_that_look_alike_are_one(client: httpx.AsyncClient, stored: str):
    image = await upload(client, tags=stored)
    for asked in ("red castle", "RED\u00a0CASTLE", "\u200bred  castle", "re\u00add\tcastle"):
        assert await walked(client, tag=asked) == [image["id"]]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"sortOrder": "up"}, "sortOrder"),
        ({"albumId": "a b"}, "albumId"),
        ({"albumId": " "}, "albumId"),
        ({"tag": "x" * 51}, "tag"),
        ({"tag": " "}, "tag"),
        ({"tag": ["red", "\u200b"]}, "tag"),
        ({"tag[]": "\ufeff"}, "tag"),
        ({"tag": [f"t{n}" for n in range(21)]}, "tag"),
        ({"uploadedAfter": "2026-01-01"}, "uploadedAfter"),
        ({"uploadedAfter": "1700000000"}, "uploadedAfter"),
        (
            {"uploadedAfter": "2026-02-01T00:00:00Z", "uploadedBefore": "2026-01-01T00:00:00Z"},
            "uploadedAfter",
        ),
        ({"tags": "red"}, "tags"),
        ({"limit": [1, 2]}, "limit"),
        ({"cursor": ["", "x"]}, "cursor"),
    ],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, parameters, field):
    response = await client.get(IMAGES, params=parameters)
    assert response.status_code == 400, response.text
    error = response.json()
    assert error["code"] == "VALIDATION_FAILED"
    assert [fault["field"] for fault in error["details"]] == [field]


async def test_a_long_answer_is_gzipped_for_those_who_accept_it(client: httpx.AsyncClient):
    await upload(client)
    zipped = await client.get(IMAGES, headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    for unwilling in ("identity", "gzip;q=0, br", "br, gzip; q=0.000", "sgzip"):
        plain = await client.get(IMAGES, headers={"Accept-Encoding": unwilling})
        assert "content-encoding" not in plain.headers
        assert "Accept-Encoding" in plain.headers["vary"]
        assert zipped.json() == plain.json()
    for willing in ("br, GZIP;q=0.5", "gzip ; q=0.001"):
        assert (
            "content-encoding"
            in (await client.get(IMAGES, headers={"Accept-Encoding": willing})).headers
        )
