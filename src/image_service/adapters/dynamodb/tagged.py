"""Pages of tagged images: walk one tag's pointers, then fetch what passes the filters."""

from __future__ import annotations

from collections.abc import Sequence

from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import Item, is_live, to_image
from image_service.adapters.dynamodb.partitions import Partition, along
from image_service.adapters.dynamodb.table import MAX_BATCH, Table
from image_service.domain.images import Image
from image_service.domain.listing import ListQuery, Page, Position


class TaggedPages:
    """Reads the list of the first tag; the pointers in it know album and other tags."""

    def __init__(self, table: Table, *, look_bound: int) -> None:
        self._table = table
        self._look_bound = look_bound

    async def page(self, user_id: str, query: ListQuery) -> Page:
        partition = Partition(keys.tag_partition(user_id, query.tags[0]))
        found: list[Image] = []
        position, looked, step = query.start, 0, query.limit + 1
        while True:
            step = min(step, self._look_bound - looked)
            # One more than is looked at shows whether there is more to look at.
            wanted = along(partition, query, start=position, limit=step + 1)
            pointers = [pointer async for pointer in self._table.query(wanted)]
            found += await self._take(pointers[:step], query, query.limit + 1 - len(found))
            if len(found) > query.limit:
                return Page(tuple(found[: query.limit]), _position(found[query.limit - 1]))
            if len(pointers) <= step:
                return Page(tuple(found), None)
            position = keys.position_of(pointers[step - 1]["SK"])
            looked += step
            if looked >= self._look_bound:
                return Page(tuple(found), position)
            step *= 2  # where filters let little pass, few long reads beat many short ones

    async def _take(self, pointers: Sequence[Item], query: ListQuery, room: int) -> list[Image]:
        """The first `room` images pointed at that pass the filters, in the list's order."""
        image_ids = [
            pointer["id"]
            for pointer in pointers
            if query.matches_album_and_tags(pointer.get("albumId"), tuple(pointer["tags"]))
        ]
        taken: list[Image] = []
        while image_ids and len(taken) < room:
            size = min(MAX_BATCH, room - len(taken))
            batch, image_ids = image_ids[:size], image_ids[size:]
            read = await self._table.batch_get([keys.image_key(image_id) for image_id in batch])
            items = {keys.image_id_of(item["PK"]): item for item in read}
            # Since its pointer was read, an image may have been deleted or edited.
            live = [to_image(items[i]) for i in batch if i in items and is_live(items[i])]
            taken += [image for image in live if query.matches(image)]
        return taken


def _position(image: Image) -> Position:
    return Position(image.uploaded_at, image.id)
