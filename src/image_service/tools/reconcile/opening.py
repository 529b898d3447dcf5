"""The reconciler's composition root: the stores and the cache, but no pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from image_service.bootstrap import open_cache, open_redis_link, open_stores
from image_service.domain.time_limits import TimeLimits
from image_service.settings import Settings
from image_service.telemetry.telemetry import Telemetry
from image_service.tools.reconcile.bucket import S3Inventory
from image_service.tools.reconcile.reconciler import Options, Reconciler
from image_service.tools.reconcile.stores import Stores
from image_service.tools.reconcile.table import DynamoTableInventory


@asynccontextmanager
async def open_reconciler(settings: Settings, options: Options) -> AsyncIterator[Reconciler]:
    """Returns what `image-service reconcile` needs: the stores and the cache, but no pictures."""
    async with AsyncExitStack() as stack:
        telemetry = Telemetry()  # which nobody scrapes
        stores = await open_stores(settings, stack, telemetry)
        redis = await open_redis_link(settings, stack, telemetry, TimeLimits())
        cache = await open_cache(redis, stores.outbox, stack, telemetry)
        compared = Stores(
            table=DynamoTableInventory(stores.dynamodb, settings.table_name),
            inventory=S3Inventory(stores.s3, bucket=settings.bucket),
            objects=stores.objects,
            repository=stores.repository,
            intents=stores.intents,
            rerenders=stores.rerenders,
            outbox=stores.outbox,
        )
        yield Reconciler(compared, stores.outbox_processor(cache.purge), options)
