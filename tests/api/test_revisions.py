"""Images whose renditions were made again: what callers hold of them, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.photos import IMAGES, PHOTO, upload

from image_service.adapters.dynamodb import DynamoImageRepository
from image_service.domain.renditions import THUMBNAIL

Render = Callable[[dict[str, Any]], Awaitable[None]]


@pytest.fixture
def render(repository: DynamoImageRepository) -> Render:
    """Gives an image another thumbnail, as a rerender commits it."""

    async def rendered(image: dict[str, Any]) -> None:
        before = await repository.get(image["id"])
        assert before is not None
        smaller = replace(before.thumbnail, width=99)
        after = before.rendered({**before.renditions, THUMBNAIL: smaller})
        await repository.update(before, after)

    return rendered


async def test_the_etag_changes_and_the_version_does_not(
    client: httpx.AsyncClient, render: Render
) -> None:
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    for revision in (1, 2):
        await render(image)
        read = await client.get(path, headers={"If-None-Match": '"1", "1.0", "1.3"'})
        assert read.headers["etag"] == f'"1.{revision}"'
        assert read.json() == image | {"thumbnailWidth": 99}  # `updatedAt` too
        again = await client.get(path, headers={"If-None-Match": f'W/"1.{revision}"'})
        assert (again.status_code, again.headers["etag"]) == (304, f'"1.{revision}"')


@pytest.mark.parametrize("held", ['"1"', '"1.1"', 'W/"1.1"', '"9", "1"', "*"])
async def test_an_editor_is_not_refused_for_renditions(
    client: httpx.AsyncClient, render: Render, held: str
) -> None:
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    await render(image)
    edited = await client.patch(path, json={"title": "Gate"}, headers={"If-Match": held})
    assert (edited.status_code, edited.headers["etag"]) == (200, '"2.1"')
    assert (edited.json()["version"], edited.json()["thumbnailWidth"]) == (2, 99)
    assert (await client.get(path)).json() == edited.json()

    by_body = await client.patch(path, json={"title": "Tower", "version": 2})
    assert (by_body.status_code, by_body.headers["etag"]) == (200, '"3.1"')
    assert (await client.delete(path, headers={"If-Match": '"3"'})).status_code == 204


@pytest.mark.parametrize("held", ['"1"', '"1.1"', '"2.x"', '"2."', '".2"', '"2.1.1"', '"02"'])
async def test_a_stale_version_is_refused_whatever_its_revision(
    client: httpx.AsyncClient, render: Render, held: str
) -> None:
    image = await upload(client)
    path = f"{IMAGES}/{image['id']}"
    await render(image)
    await client.patch(path, json={"title": "Gate", "version": 1})
    for request in (
        client.patch(path, json={"title": "Tower"}, headers={"If-Match": held}),
        client.delete(path, headers={"If-Match": held}),
    ):
        refused = await request
        assert (refused.status_code, refused.json()["currentVersion"]) == (412, 2)


async def test_a_replay_is_what_was_first_answered(
    client: httpx.AsyncClient, render: Render
) -> None:
    form: dict[str, Any] = {"files": {"file": ("a.jpg", PHOTO, "image/jpeg")}}
    first = await client.post(IMAGES, headers={"Idempotency-Key": "key"}, **form)
    await render(first.json())
    replay = await client.post(IMAGES, headers={"Idempotency-Key": "key"}, **form)
    assert (replay.status_code, replay.json()) == (201, first.json())
    assert replay.headers["etag"] == first.headers["etag"] == '"1"'


async def test_lists_show_the_renditions_of_today(
    client: httpx.AsyncClient, render: Render
) -> None:
    image = await upload(client)
    await render(image)
    (listed,) = (await client.get(IMAGES)).json()["images"]
    assert listed == image | {"thumbnailWidth": 99}
