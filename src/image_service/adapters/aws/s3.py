"""Picture files in S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import translated

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.literals import StorageClassType

log = structlog.stdlib.get_logger(__name__)


class S3ObjectStore:
    """An `ObjectStore`. Every failure is DependencyUnavailable, never OutcomeUnknown:

    keys are unique and deletes repeatable, so a caller may always compensate by deleting.
    """

    def __init__(
        self, client: S3Client, *, bucket: str, cache_control: str, storage_class: StorageClassType
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._cache_control = cache_control
        self._storage_class = storage_class
        client.meta.events.register(
            "request-created.s3.PutObject", _expect_nothing, unique_id="expect-nothing"
        )

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        with translated("s3:PutObject"):
            await self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                CacheControl=self._cache_control,
                ServerSideEncryption="AES256",
                StorageClass=self._storage_class,
            )

    async def delete(self, keys: Sequence[str]) -> bool:
        if not keys:  # S3 refuses an empty list
            return True
        with translated("s3:DeleteObjects"):
            response = await self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
            # The status is 200 even where it could not delete some of them.
            if errors := response.get("Errors"):
                log.warning("objects_not_deleted", errors=errors)
                raise ClientError({"Error": errors[0]}, "DeleteObjects")
        return not response["ResponseMetadata"].get("RetryAttempts")

    async def exists(self, key: str) -> bool:
        # Of the keys that begin so, the first is the key itself. To ask for the object would
        # take the permission to read it, which the service has no other use for.
        with translated("s3:ListObjectsV2"):
            listed = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        return any(found["Key"] == key for found in listed.get("Contents", ()))


def _expect_nothing(request: AWSRequest, **_: Any) -> None:
    """Send the body at once.

    botocore would have S3 agree first (`Expect: 100-continue`), and aiohttp applies no
    timeout to that wait: an S3 that says nothing would hold an upload for ever.
    """
    if "Expect" in request.headers:
        del request.headers["Expect"]


class S3Health:
    """A `HealthProbe`: the bucket is there and may be used."""

    name = "s3"

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def ping(self) -> None:
        with translated("s3:HeadBucket"):
            await self._client.head_bucket(Bucket=self._bucket)
