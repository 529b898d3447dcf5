"""The table's items, as other versions of the service and other tools find them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.contract.samples import ids, make_image, moment
from tests.integration.table import Table

from image_service.adapters.dynamodb import DynamoHealth, DynamoImageLists
from image_service.adapters.dynamodb.items import to_wire
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.listing import ListQuery
from image_service.domain.times import parse_timestamp, utc_now

UPLOADED = "2026-03-01T09:30:00.123Z"


async def test_an_image_item(table: Table, user: str) -> None:
    image = make_image(user, album_id="castles", title=None)

    await table.repository.add(image)

    assert await table.item(f"IMAGE#{image.id}", "METADATA") == {
        "PK": f"IMAGE#{image.id}",
        "SK": "METADATA",
        "type": "image",
        "schemaVersion": 1,
        "GSI1PK": f"USER#{user}",
        "GSI1SK": f"UPLOADED#{UPLOADED}#{image.id}",
        "GSI2PK": f"ALBUM#{user}#castles",
        "GSI2SK": f"UPLOADED#{UPLOADED}#{image.id}",
        "id": image.id,
        "userId": user,
        "albumId": "castles",
        "originalFilename": "Großer Kran (2).JPG",
        "originalMimeType": "image/jpeg",
        "originalWidth": 4000,
        "originalHeight": 3000,
        "fileSize": 2_345_678,
        "checksum": image.checksum,
        "ownerChecksum": f"{user}#{image.checksum}",
        "renditions": {
            "main": {
                "key": f"images/{user}/{image.id}.webp",
                "width": 2048,
                "height": 1536,
                "bytes": 300_000,
            },
            "thumbnail": {
                "key": f"images/{user}/thumbnails/{image.id}.webp",
                "width": 400,
                "height": 400,
                "bytes": 20_000,
            },
            **{
                f"w{width}": {
                    "key": f"images/{user}/{image.id}/w{width}.webp",
                    "width": width,
                    "height": width * 3 // 4,
                    "bytes": 20_000,
                }
                for width in (320, 640, 1280)
            },
        },
        "format": "webp",
        "quality": 85,
        "placeholder": image.placeholder,
        "dominantColor": "#a0b1c2",
        "description": "Two lines\nof words ✓",
        "altText": "A yellow crane",
        "tags": ["LEGO", "Straße"],
        "uploadedAt": UPLOADED,
        "createdAt": UPLOADED,
        "updatedAt": UPLOADED,
        "version": 1,
    }


async def test_counters_and_tag_pointers(table: Table, user: str) -> None:
    image = make_image(user, album_id="castles")

    await table.repository.add(image)

    usage = {"type": "usage", "schemaVersion": 1, "imageCount": 1, "totalBytes": 380_000}
    counters = await table.partition(f"USER#{user}")
    ages = [utc_now() - parse_timestamp(counter.pop("updatedAt")) for counter in counters]
    assert max(ages) < timedelta(minutes=1)
    assert counters == [
        {"PK": f"USER#{user}", "SK": "USAGE", **usage},
        {"PK": f"USER#{user}", "SK": "USAGE#ALBUM#castles", **usage},
    ]
    assert await table.partition(f"TAG#{user}#strasse") == [
        {
            "PK": f"TAG#{user}#strasse",
            "SK": f"UPLOADED#{UPLOADED}#{image.id}",
            "type": "tag",
            "schemaVersion": 1,
            "id": image.id,
            "albumId": "castles",
            "tags": ["LEGO", "Straße"],
        }
    ]


async def test_a_deletion_leaves_a_mark_and_an_entry(table: Table, user: str) -> None:
    image = make_image(user, album_id="castles")
    await table.repository.add(image)

    entry = await table.repository.mark_deleted(image, moment(10))

    item = await table.item(f"IMAGE#{image.id}", "METADATA")
    assert item["deletedAt"] == "2026-03-01T09:30:10.123Z"
    assert not {"GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK"} & item.keys()
    entries = [
        found
        for shard in range(4)
        for found in await table.partition(f"OUTBOX#{shard}")
        if found["images"][0]["id"] == image.id
    ]
    assert len(entries) == 1
    assert entries[0]["SK"] == f"2026-03-01T09:30:40.123Z#{entry.id}"
    assert entries[0]["images"] == [
        {"id": image.id, "userId": user, "objectKeys": list(image.object_keys)}
    ]
    assert (entries[0]["type"], entries[0]["task"]) == ("outbox", "clear")
    assert (entries[0]["step"], entries[0]["tries"]) == ("objects", 0)

    await table.repository.forget(entry.deletions[0])

    assert await table.item(f"IMAGE#{image.id}", "METADATA") == {}
    assert await table.item(entries[0]["PK"], entries[0]["SK"]) == entries[0]


async def test_what_a_newer_version_wrote_survives(table: Table, user: str) -> None:
    image = make_image(user)
    await table.repository.add(image)
    await table.client.update_item(
        TableName=table.name,
        Key=to_wire({"PK": f"IMAGE#{image.id}", "SK": "METADATA"}),
        UpdateExpression="SET blurHash = :hash, flags = :flags, schemaVersion = :two",
        ExpressionAttributeValues=to_wire({":hash": "LEHV6n", ":flags": {"a", "b"}, ":two": 2}),
    )

    assert await table.repository.get(image.id) == image
    after = image.edited({"title": "New", "album_id": "castles", "tags": ("x",)}, moment(1))
    await table.repository.update(image, after)

    item = await table.item(f"IMAGE#{image.id}", "METADATA")
    assert (item["blurHash"], item["flags"], item["schemaVersion"]) == ("LEHV6n", {"a", "b"}, 2)
    assert await table.repository.get(image.id) == after
    assert ids(await table.lists.page(user, ListQuery(album_id="castles"))) == [image.id]


class HalfDeaf:
    """A client whose batch reads leave keys unprocessed, as a throttled table does."""

    def __init__(self, client: Any, *, processed: int) -> None:
        self._client = client
        self._processed = processed
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 # AWS's name
        ((name, wanted),) = RequestItems.items()
        assert wanted["ConsistentRead"]
        taken, left = wanted["Keys"][: self._processed], wanted["Keys"][self._processed :]
        self.asked.append(len(wanted["Keys"]))
        answer: dict[str, Any] = {"Responses": {name: []}}
        if taken:
            answer = await self._client.batch_get_item(
                RequestItems={name: wanted | {"Keys": taken}}
            )
        return answer | {"UnprocessedKeys": {name: wanted | {"Keys": left}} if left else {}}


async def test_unprocessed_keys_are_asked_for_again(table: Table, user: str) -> None:
    images = [make_image(user, at=moment(n)) for n in range(10)]
    for image in images:
        await table.repository.add(image)
    client = HalfDeaf(table.client, processed=4)
    lists = DynamoImageLists(client, table.name)  # type: ignore[arg-type]

    page = await lists.page(user, ListQuery(limit=20, tags=("lego",), order="asc"))

    assert page.images == tuple(images)
    assert client.asked == [10, 6, 2]


async def test_keys_never_processed_are_a_failure(table: Table, user: str) -> None:
    await table.repository.add(make_image(user))
    client = HalfDeaf(table.client, processed=0)
    lists = DynamoImageLists(client, table.name)  # type: ignore[arg-type]

    with pytest.raises(DependencyUnavailable):
        await lists.page(user, ListQuery(tags=("lego",)))

    assert len(client.asked) > 3


async def test_health(table: Table) -> None:
    await DynamoHealth(table.client, table.name).ping()
    with pytest.raises(DependencyUnavailable):
        await DynamoHealth(table.client, "NoSuchTable").ping()
