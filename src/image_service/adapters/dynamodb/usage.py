"""The counters of a user and of the user's albums, kept by every write of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item
from image_service.adapters.dynamodb.table import Query, Table
from image_service.adapters.dynamodb.transactions import Condition
from image_service.domain.usage import AlbumAmount, AlbumPage, AlbumQuery, Amount

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_ALBUMS = keys.album_usage_key("", "")["SK"]  # what the sort keys of all albums begin with


class DynamoUsageCounters:
    """A `UsageCounters`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    async def total(self, user_id: str) -> Amount:
        return _amount(await self._table.get(keys.user_usage_key(user_id)))

    async def albums(self, user_id: str, query: AlbumQuery) -> AlbumPage:
        of_user = Condition(
            "PK = :user AND begins_with(SK, :albums)",
            {":user": keys.user_partition(user_id), ":albums": _ALBUMS},
        )
        start = None if query.after is None else keys.album_usage_key(user_id, query.after)
        wanted = Query(where=of_user, start=start, consistent=True, limit=query.limit + 1)
        found = [_album(item) async for item in self._table.query(wanted)]
        return AlbumPage(found[: query.limit], more=len(found) > query.limit)


def _album(item: Item) -> AlbumAmount:
    return AlbumAmount(item["SK"].removeprefix(_ALBUMS), _amount(item))


def _amount(item: Item) -> Amount:
    return Amount(int(item.get("imageCount", 0)), int(item.get("totalBytes", 0)))
