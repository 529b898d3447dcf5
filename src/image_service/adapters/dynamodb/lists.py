"""A user's images in the order of their upload, from the indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import to_image
from image_service.adapters.dynamodb.partitions import (
    ALBUM_INDEX,
    USER_INDEX,
    Partition,
    along,
)
from image_service.adapters.dynamodb.table import Table
from image_service.adapters.dynamodb.tagged import TaggedPages
from image_service.domain.listing import LOOK_BOUND, ListQuery, Page, Position

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


class DynamoImageLists:
    """An `ImageLists`. Each page is read along one partition, of an index or of a tag.

    Tags are read consistently; the indexes follow a write within moments.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, look_bound: int = LOOK_BOUND
    ) -> None:
        self._table = Table(client, table_name)
        self._tagged = TaggedPages(self._table, look_bound=look_bound)

    async def page(self, user_id: str, query: ListQuery) -> Page:
        lower, upper = keys.uploaded_range(query.uploaded_after, query.uploaded_before)
        if lower >= upper:  # DynamoDB refuses a range that holds nothing
            return Page((), None)
        if query.tags:
            return await self._tagged.page(user_id, query)
        wanted = along(_partition(user_id, query), query, start=query.start, limit=query.limit + 1)
        items = [item async for item in self._table.query(wanted)]
        images = tuple(to_image(item) for item in items[: query.limit])
        if len(items) <= query.limit:
            return Page(images, None)
        return Page(images, Position(images[-1].uploaded_at, images[-1].id))

    async def count(self, user_id: str, album_id: str | None) -> int:
        key = (
            keys.user_usage_key(user_id)
            if album_id is None
            else keys.album_usage_key(user_id, album_id)
        )
        return int((await self._table.get(key)).get("imageCount", 0))


def _partition(user_id: str, query: ListQuery) -> Partition:
    if query.album_id is None:
        return Partition(keys.user_partition(user_id), USER_INDEX)
    return Partition(keys.album_partition(user_id, query.album_id), ALBUM_INDEX)
