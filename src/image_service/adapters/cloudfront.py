"""Invalidations in CloudFront."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws_errors import error_code, translated
from image_service.domain.errors import CdnBusy

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront.client import CloudFrontClient


_BUSY: Final = frozenset(
    {"TooManyInvalidationsInProgress", "Throttling", "ThrottlingException", "RequestLimitExceeded"}
)


class CloudFrontCdn:
    """A `Cdn`. CloudFront knows a repeated reference and purges once for it."""

    def __init__(self, client: CloudFrontClient, distribution_id: str) -> None:
        self._client = client
        self._distribution_id = distribution_id

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        if not paths:  # CloudFront refuses an empty list
            return
        with translated("cloudfront:CreateInvalidation"):
            try:
                await self._client.create_invalidation(
                    DistributionId=self._distribution_id,
                    InvalidationBatch={
                        "Paths": {"Quantity": len(paths), "Items": list(paths)},
                        "CallerReference": reference,
                    },
                )
            except ClientError as error:
                if error_code(error) in _BUSY:
                    raise CdnBusy from error
                raise


class NullCdn:
    """A `Cdn` for where there is none: nothing is cached, so nothing is to be dropped."""

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        """Do nothing."""
