"""Checks of the bucket: its settings and its use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code
from image_service.tools.doctor.aws_errors import NOT_OFFERED, AwsError, diagnosed
from image_service.tools.doctor.bucket_settings import PROTECTIONS, Protection
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, failed, well

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_ABSENT: Final = frozenset({"404", "NoSuchBucket"})


class BucketCheck:
    """A `SystemCheck` of everything but the bucket's content."""

    name = "bucket"

    def __init__(self, client: S3Client, bucket: str, stakes: Stakes) -> None:
        self._client = client
        self._bucket = bucket
        self._stakes = stakes

    async def examine(self) -> Sequence[Diagnosis]:
        bucket = await self._there()
        if bucket.remedy is not None:
            return [bucket]
        return [bucket, *await asyncio.gather(*(self._look_at(one) for one in PROTECTIONS))]

    async def _there(self) -> Diagnosis:
        region = self._client.meta.region_name
        place = f"{self._bucket} in {region}"
        with diagnosed(self.name, "s3:ListBucket", self._client.meta.endpoint_url):
            try:
                response = await self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if error_code(error) not in _ABSENT:
                    raise
                remedy = "check IMAGE_SERVICE_BUCKET, or make it as terraform/modules/storage does"
                return failed(self.name, f"there is no bucket {self._bucket}", remedy)
        # botocore follows a bucket into its region, at the price of a redirect a client.
        there = response.get("BucketRegion") or region
        if there != region and not self._stakes.emulated:
            remedy = f"set AWS_REGION to {there}, or name a bucket of {region}"
            return failed(self.name, f"{self._bucket} is in {there}, not in {region}", remedy)
        return well(self.name, f"{place} is there")

    async def _look_at(self, protection: Protection) -> Diagnosis:
        endpoint = self._client.meta.endpoint_url
        try:
            with diagnosed(protection.check, protection.operation, endpoint, needed=False):
                response = await self._ask(protection)
        except AwsError as error:
            return error.diagnosis
        detail = protection.error(response)
        if detail is None:
            return well(protection.check, protection.good)
        return self._stakes.missing(
            protection.check, detail, protection.remedy, grave=protection.grave
        )

    async def _ask(self, protection: Protection) -> Any:
        try:
            return await getattr(self._client, protection.method)(Bucket=self._bucket)
        except ClientError as error:
            if error_code(error) in {protection.unset, *NOT_OFFERED}:
                return {}
            raise
