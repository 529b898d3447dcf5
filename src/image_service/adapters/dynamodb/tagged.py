"""Pages of tagged images: walk one tag's pointers, then fetch what passes the filters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import batched
from typing import TYPE_CHECKING, Final

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.batches import MAX_BATCH, BatchReader
from image_service.adapters.dynamodb.items import Item, is_live, to_image
from image_service.adapters.dynamodb.partitions import Partition, PartitionReader
from image_service.domain.images import Image
from image_service.domain.listing import ListQuery, Page, Position

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

LOOK_BOUND: Final = 1_000  # pointers looked at for one page, at about 200 bytes each


class TaggedPages:
    """Reads the list of the first tag; the pointers in it know album and other tags."""

    def __init__(self, client: DynamoDBClient, table_name: str, *, look_bound: int) -> None:
        self._pointers = PartitionReader(client, table_name)
        self._images = BatchReader(client, table_name)
        self._look_bound = look_bound

    async def page(self, user_id: str, query: ListQuery) -> Page:
        partition = Partition(keys.tag_partition(user_id, query.tags[0]))
        found: list[Image] = []
        position, looked, step = query.start, 0, query.limit + 1
        while True:
            step = min(step, self._look_bound - looked)
            # One more than is looked at tells whether there is more to look at.
            pointers = await self._pointers.read(partition, query, start=position, count=step + 1)
            async for image in self._passing(pointers[:step], query, found):
                found.append(image)
            if len(found) > query.limit:
                return Page(tuple(found[: query.limit]), _position(found[query.limit - 1]))
            if len(pointers) <= step:
                return Page(tuple(found), None)
            position = keys.position_of(pointers[step - 1]["SK"])
            looked += step
            if looked >= self._look_bound:
                return Page(tuple(found), position)
            step *= 2  # where filters let little pass, few long reads beat many short ones
