"""The bucket's inventory: all files there are, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code, translated
from image_service.tools.reconcile.findings import FilePage, StoredFile

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})  # a HEAD has no body to name it


class S3Inventory:
    """All files of one bucket; nothing that serves a request may read like this."""

    def __init__(self, client: S3Client, *, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def page(self, prefix: str, after: str | None) -> FilePage:
        """Up to 1,000 files under `prefix`, in the order of their keys."""
        with translated("s3:ListObjectsV2"):
            response = await self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, StartAfter=after or ""
            )
        files = [
            StoredFile(file["Key"], file["LastModified"]) for file in response.get("Contents", [])
        ]
        return FilePage(files, files[-1].key if response["IsTruncated"] else None)

    async def exists(self, key: str) -> bool:
        return await self.size(key) is not None

    async def size(self, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        with translated("s3:HeadObject"):
            try:
                head = await self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return None
                raise
        return head["ContentLength"]
