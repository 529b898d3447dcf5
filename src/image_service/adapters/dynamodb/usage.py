"""The counters of a user and of the user's albums, kept by every write of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_service.adapters.aws.errors import translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.domain.usage import AlbumAmount, AlbumPage, AlbumQuery, Amount

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import QueryInputTypeDef

_ALBUMS = keys.album_usage_key("", "")["SK"]  # what the sort keys of all albums begin with


class DynamoUsageCounters:
    """A `UsageCounters`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    async def total(self, user_id: str) -> Amount:
        with translated("dynamodb:GetItem"):
            answer = await self._client.get_item(
                TableName=self._table_name,
                Key=to_wire(keys.user_usage_key(user_id)),
                ConsistentRead=True,
            )
        return _amount(from_wire(answer.get("Item", {})))

    async def albums(self, user_id: str, query: AlbumQuery) -> AlbumPage:
        request: QueryInputTypeDef = {
            "TableName": self._table_name,
            "KeyConditionExpression": "PK = :user AND begins_with(SK, :albums)",
            "ExpressionAttributeValues": to_wire(
                {":user": keys.user_partition(user_id), ":albums": _ALBUMS}
            ),
            "ConsistentRead": True,
            "Limit": query.limit + 1,  # of items this small a page is far below 1 MB
        }
        if query.after is not None:
            request["ExclusiveStartKey"] = to_wire(keys.album_usage_key(user_id, query.after))
        with translated("dynamodb:Query"):
            answer = await self._client.query(**request)
        found = [_album(from_wire(item)) for item in answer["Items"]]
        return AlbumPage(found[: query.limit], more=len(found) > query.limit)


def _album(item: Item) -> AlbumAmount:
    return AlbumAmount(item["SK"].removeprefix(_ALBUMS), _amount(item))


def _amount(item: Item) -> Amount:
    return Amount(int(item.get("imageCount", 0)), int(item.get("totalBytes", 0)))
