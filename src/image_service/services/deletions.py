"""What is left to do after an image has been marked as deleted.

The steps are done in this order and each is safe to repeat, so that anyone who finds the
outbox entry can carry on where another stopped.
"""

from __future__ import annotations

from image_service.domain.images import CdnUrls, Deletion
from image_service.ports import Cdn, ImageRepository, ObjectStore


class DeletionService:
    def __init__(self, *, repository: ImageRepository, objects: ObjectStore, cdn: Cdn) -> None:
        self._repository = repository
        self._objects = objects
        self._cdn = cdn

    async def finish(self, deletion: Deletion) -> None:
        """Clear objects, then the edges, then the record. Raises DependencyUnavailable."""
        await self._objects.delete(deletion.object_keys)
        # Never before the objects are gone: the edge would fetch and cache them again.
        paths = [CdnUrls.path(key) for key in deletion.object_keys]
        await self._cdn.invalidate(paths, deletion.entry_id)
        await self._repository.forget(deletion)
