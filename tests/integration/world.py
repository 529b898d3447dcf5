"""A table and a bucket of their own, with everything that works on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.fakes import FakeCdn
from tests.integration.table import Table
from tests.unit.builders import NEW, FakeProcessor, caller

from image_service.adapters.aws.s3 import S3ObjectStore
from image_service.adapters.dynamodb import (
    DynamoIdempotencyRecords,
    DynamoOutbox,
    DynamoRerenders,
    DynamoUploadIntents,
)
from image_service.adapters.dynamodb.items import from_wire, to_wire
from image_service.adapters.redis.counting import NullCache
from image_service.domain.images import Image
from image_service.domain.renditions import RENDITIONS, RenditionSpec
from image_service.domain.times import utc_now
from image_service.ports import ImageCache
from image_service.services.deletions import DeletionService
from image_service.services.outbox import OutboxProcessor
from image_service.services.storing import ImageWriter
from image_service.services.sweeping import IntentSweeper, RerenderSweeper
from image_service.services.uploads import UploadService
from image_service.telemetry.telemetry import Telemetry
from image_service.tools.reconcile.bucket import S3Inventory
from image_service.tools.reconcile.reconciler import Options, Reconciler, Reconciliation
from image_service.tools.reconcile.stores import Stores
from image_service.tools.reconcile.table import DynamoTableInventory
from image_service.tools.rerender.rerenderer import Rerenderer
from image_service.tools.rerender.run import Options as RunOptions
from image_service.tools.rerender.run import Rerendering, Run
from image_service.tools.rerender.stores import DynamoImages, S3MainPictures

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

DAY = timedelta(days=1)


@dataclass
class World:
    """The parts may be replaced by ones that fail, before the services are asked for."""

    table: Table
    s3: S3Client
    bucket: str
    cdn: FakeCdn = field(default_factory=FakeCdn)
    # Of the outbox: what is due tomorrow is done at once.
    ahead: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        client, name = self.table.client, self.table.name
        self.renditions: Sequence[RenditionSpec] = RENDITIONS
        self.pictures = FakeProcessor()
        self.cache: ImageCache = NullCache(Telemetry())
        self.repository: Any = self.table.repository
        self.intents: Any = DynamoUploadIntents(client, name)
        self.rerenders: Any = DynamoRerenders(client, name)
        self.records: Any = DynamoIdempotencyRecords(client, name)
        self.outbox: Any = DynamoOutbox(client, name)
        self.table_inventory: Any = DynamoTableInventory(client, name)
        self.inventory: Any = S3Inventory(self.s3, bucket=self.bucket)
        self.objects: Any = S3ObjectStore(
            self.s3, bucket=self.bucket, cache_control="private", storage_class="STANDARD"
        )

    def list_pages_of(self, items: int) -> None:
        """Have the table listed in pages of so many items."""
        self.table_inventory = DynamoTableInventory(
            self.table.client, self.table.name, page_items=items
        )

    def now(self) -> datetime:
        return utc_now() + self.ahead

    def healed(self) -> World:
        """The same stores, without what was replaced."""
        return World(self.table, self.s3, self.bucket, self.cdn, ahead=self.ahead)

    @property
    def uploads(self) -> UploadService:
        return UploadService(
            renditions=self.renditions,
            processor=self.pictures,
            intents=self.intents,
            records=self.records,
            writer=ImageWriter(
                objects=self.objects,
                repository=self.repository,
                intents=self.intents,
                records=self.records,
                cache=self.cache,
            ),
        )

    @property
    def deletions(self) -> DeletionService:
        return DeletionService(objects=self.objects, outbox=self.outbox)

    @property
    def processor(self) -> OutboxProcessor:
        async def no_cache(user_id: str, image_id: str) -> None: ...

        return OutboxProcessor(
            outbox=self.outbox,
            objects=self.objects,
            cdn=self.cdn,
            repository=self.repository,
            purge_cache=no_cache,
            now=self.now,
        )

    @property
    def sweeper(self) -> IntentSweeper:
        return IntentSweeper(intents=self.intents, objects=self.objects)

    @property
    def rerender_sweeper(self) -> RerenderSweeper:
        return RerenderSweeper(self.rerenders, self.repository, self.objects, now=self.now)

    def rerenderer(self, owner: str = "run", patience: float = 2.0) -> Rerenderer:
        return Rerenderer(
            specs=self.renditions,
            run=owner,
            repository=self.repository,
            rerenders=self.rerenders,
            pictures=S3MainPictures(self.s3, bucket=self.bucket),
            processor=self.pictures,
            objects=self.objects,
            cache=self.cache,
            patience=patience,
        )

    async def rerender(self, owner: str = "run", patience: float = 2.0) -> Rerendering:
        state = Rerendering(widths=(), owner=owner)
        images = DynamoImages(self.table.client, self.table.name)
        options = RunOptions(rate=1e6, at_once=4)
        run = Run(images, self.rerenderer(owner, patience), options, asyncio.Event())
        await run.go(state, lambda _: None)
        return state

    @property
    def stores(self) -> Stores:
        return Stores(
            table=self.table_inventory,
            inventory=self.inventory,
            objects=self.objects,
            repository=self.repository,
            intents=self.intents,
            rerenders=self.rerenders,
            outbox=self.outbox,
        )

    async def reconcile(
        self,
        *,
        fix: bool = False,
        min_age: timedelta = timedelta(0),
        max_orphans: int | None = 1_000,
    ) -> Reconciliation:
        """As if nothing were younger than an hour."""
        state = Reconciliation(fix=fix)
        options = Options(min_age=min_age, rate=1e9, max_orphans=max_orphans)
        reconciler = Reconciler(self.stores, self.processor, options, now=self.now)
        await reconciler.run(state, lambda _: None)
        return state

    async def upload(self, user_id: str, key: str | None = None, **fields: Any) -> Image:
        return (await self.uploads.upload(caller(user_id), replace(NEW, **fields), key)).image

    async def delete(self, image: Image) -> None:
        await self.deletions.finish(await self.repository.mark_deleted(image, utc_now()))

    async def files(self) -> set[str]:
        page = await self.inventory.page("", None)
        return {file.key for file in page.files}

    async def items(self) -> list[dict[str, Any]]:
        answer = await self.table.client.scan(TableName=self.table.name, ConsistentRead=True)
        return [from_wire(item) for item in answer["Items"]]

    async def put(self, item: dict[str, Any]) -> None:
        await self.table.client.put_item(TableName=self.table.name, Item=to_wire(item))

    async def kinds(self) -> set[str]:
        return {item["type"] for item in await self.items()}
