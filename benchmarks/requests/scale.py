"""The cost of a read as the table grows, in DynamoDB's own capacity units.

Hypothesis: a page of 20, a tag's page and a single image cost the same with 100, 10,000 and
1,000,000 images in the table, all of them one user's and under one tag, which is the worst
case. On Amazon's DynamoDB Local, which counts units as DynamoDB does; items are written in
batches past the service. A million takes some ten minutes: `--sizes` names others.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import aioboto3
from tests.engines import dynamodb_local

from benchmarks import documents, results
from benchmarks.requests import canned
from image_service.adapters.aws.clients import aws_client
from image_service.adapters.dynamodb import DynamoImageLists, DynamoImageRepository
from image_service.adapters.dynamodb.items import image_item, tag_pointers, to_wire
from image_service.devstack.aws import create_table
from image_service.domain.images import Image
from image_service.domain.listing import ListQuery

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_TAG: Final = "castle"
_BATCH: Final = 25  # as many as BatchWriteItem takes
_WRITERS: Final = 8


class Units:
    """Has a client's reads tell what they consumed, and adds it up."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.consumed = 0.0
        events: Any = client.meta.events  # their stubs know of no handler that answers
        events.register("provide-client-params.dynamodb", self._ask)
        events.register("after-call.dynamodb", self._add)

    def _ask(self, *, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**params, "ReturnConsumedCapacity": "TOTAL"}

    def _add(self, *, parsed: dict[str, Any], **_: Any) -> None:
        told = parsed.get("ConsumedCapacity", [])
        for part in told if isinstance(told, list) else [told]:
            self.consumed += part["CapacityUnits"]

    async def of(self, read: Callable[[], Awaitable[object]]) -> tuple[float, float]:
        """Units of one, and its milliseconds."""
        self.consumed, began = 0.0, time.perf_counter()
        await read()
        return self.consumed, (time.perf_counter() - began) * 1000


async def measure(endpoint: str, sizes: list[int]) -> dict[str, dict[str, float]]:
    session = aioboto3.Session("local", "local", region_name="us-east-1")
    figures: dict[str, dict[str, float]] = {}
    async with (
        aws_client(session, "dynamodb", read_timeout=10, endpoint_url=endpoint) as writing,
        aws_client(session, "dynamodb", read_timeout=10, endpoint_url=endpoint) as reading,
    ):
        await create_table(writing, canned.TABLE)
        units, there = Units(reading), 0
        for size in sizes:
            await _fill(writing, range(there, size))
            there = size
            for name, read in _reads(reading).items():
                await read()
                cost, took = await units.of(read)
                figures.setdefault(name, {})[f"units_{size}"] = cost
                print(f"{size:9,} images  {name:14} {cost:5.1f} units  {took:6.1f} ms", flush=True)
    return figures


def _reads(client: DynamoDBClient) -> dict[str, Callable[[], Awaitable[object]]]:
    lists = DynamoImageLists(client, canned.TABLE)
    repository = DynamoImageRepository(client, canned.TABLE)
    return {
        "page of 20": lambda: lists.page(canned.USER, ListQuery()),
        "tag's page": lambda: lists.page(canned.USER, ListQuery(tags=(_TAG,))),
        "get": lambda: repository.get(_image(0).id),
    }


def _image(number: int) -> Image:
    """Each a second later than the one before."""
    image = canned.image(f"01KAR{number:021d}")
    return replace(image, uploaded_at=image.uploaded_at + timedelta(seconds=number), tags=(_TAG,))


async def _fill(client: DynamoDBClient, numbers: Iterable[int]) -> None:
    left = iter(numbers)

    async def write_some() -> None:
        while images := [_image(number) for number in islice(left, _BATCH // 2)]:
            items = [item for image in images for item in (image_item(image), *tag_pointers(image))]
            puts: Any = [{"PutRequest": {"Item": to_wire(item)}} for item in items]
            while puts:
                answer = await client.batch_write_item(RequestItems={canned.TABLE: puts})
                puts = answer["UnprocessedItems"].get(canned.TABLE, [])

    await asyncio.gather(*(write_some() for _ in range(_WRITERS)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.requests.scale")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000, 1_000_000])
    parser.add_argument("--smoke", action="store_true", help="small tables, for breakage only")
    options = parser.parse_args()
    sizes = [100, 1_000] if options.smoke else sorted(options.sizes)
    with dynamodb_local() as endpoint:
        figures = asyncio.run(measure(endpoint, sizes))
    head = ("read", *(f"{size:,} images" for size in sizes))
    rows = [(name, *(f"{cost:g}" for cost in costs.values())) for name, costs in figures.items()]
    table = documents.table(head, rows)
    print(table)
    if not options.smoke:
        results.merge({"scale": figures})
        documents.replace_block("scale", f"Read capacity units a call.\n\n{table}")


if __name__ == "__main__":
    main()
