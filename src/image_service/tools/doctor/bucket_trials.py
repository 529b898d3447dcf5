"""Trials that use the bucket, and its clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from image_service.tools.doctor.aws_errors import AwsError, cleared_away, diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, failed, warning, well

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.literals import StorageClassType

_LATE_SECONDS: Final = 10  # what tokens may be off by
_WRONG_SECONDS: Final = 60
_CONTENT: Final = b"image-service doctor"


class BucketWriteCheck:
    """A `SystemCheck` that writes an object under `temp/`, reads it and deletes it."""

    name = "bucket write"

    def __init__(self, client: S3Client, bucket: str, storage_class: StorageClassType) -> None:
        self._client = client
        self._bucket = bucket
        self._storage_class = storage_class

    async def examine(self) -> Sequence[Diagnosis]:
        key = f"temp/doctor-{uuid.uuid4()}"
        try:
            async with cleared_away(lambda: self._delete(key)):
                same = await self._round_trip(key)
        except AwsError as error:
            return [error.diagnosis]
        if not same:
            detail = "an object just put was not read back as it was"
            return [failed(self.name, detail, "this is no S3 to rely on: use another")]
        return [well(self.name, "an object was put, read and deleted under temp/")]

    async def _round_trip(self, key: str) -> bool:
        endpoint = self._client.meta.endpoint_url
        with diagnosed(self.name, "s3:PutObject", endpoint):
            await self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=_CONTENT,
                ContentType="text/plain",
                ServerSideEncryption="AES256",
                StorageClass=self._storage_class,
            )
        with diagnosed(self.name, "s3:GetObject", endpoint):
            response = await self._client.get_object(Bucket=self._bucket, Key=key)
            return await response["Body"].read() == _CONTENT

    async def _delete(self, key: str) -> None:
        with diagnosed(self.name, "s3:DeleteObject", self._client.meta.endpoint_url):
            await self._client.delete_object(Bucket=self._bucket, Key=key)


class ClockCheck:
    """A `SystemCheck` of this clock by S3's. Signatures and tokens depend on it."""

    name = "clock"

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._now = now

    async def examine(self) -> Sequence[Diagnosis]:
        before = self._now()
        date = await self._date()
        middle = before + (self._now() - before) / 2
        if date is None:
            detail = "S3 did not say what time it is"
            return [warning(self.name, detail, "see the line of the bucket")]
        # A whole second; on average half of it is over.
        seconds = abs((middle - date).total_seconds() - 0.5)
        direction = "ahead of" if middle > date else "behind"
        if seconds <= _LATE_SECONDS:
            return [well(self.name, f"within {max(1, round(seconds))} s of S3's")]
        diagnose = failed if seconds > _WRONG_SECONDS else warning
        detail = f"{seconds:.0f} s {direction} S3's: tokens and signatures may be refused"
        return [diagnose(self.name, detail, "set it by NTP (chrony, or the host's)")]

    async def _date(self) -> datetime | None:
        try:
            response: Any = await self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:  # a refusal is dated, too
            response = error.response
        except BotoCoreError:
            return None
        header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(header).astimezone(UTC)
        except ValueError:
            return None
