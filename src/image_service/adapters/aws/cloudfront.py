"""Invalidations in CloudFront."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import describe, error_code, translated
from image_service.domain.errors import CdnBusy, CdnRefused

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront.client import CloudFrontClient

log = structlog.stdlib.get_logger(__name__)

_OPERATION: Final = "cloudfront:CreateInvalidation"
_BUSY: Final = frozenset(
    {"TooManyInvalidationsInProgress", "Throttling", "ThrottlingException", "RequestLimitExceeded"}
)


# Of what was asked; one that the role may not make, say, is refused whatever the paths.
_REFUSED: Final = frozenset({"BatchTooLarge", "InvalidArgument"})


class CloudFrontCdn:
    """A `Cdn`. CloudFront knows a repeated reference and purges once for it."""

    def __init__(self, client: CloudFrontClient, distribution_id: str) -> None:
        self._client = client
        self._distribution_id = distribution_id

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        unique = list(dict.fromkeys(paths))  # a deletion that was repaired may be there twice
        if not unique:  # CloudFront refuses an empty list
            return
        with translated(_OPERATION):
            try:
                await self._client.create_invalidation(
                    DistributionId=self._distribution_id,
                    InvalidationBatch={
                        "Paths": {"Quantity": len(unique), "Items": unique},
                        "CallerReference": reference,
                    },
                )
            except ClientError as error:
                if error_code(error) in _BUSY:
                    raise CdnBusy from error
                if error_code(error) in _REFUSED:
                    log.warning("invalidation_refused", operation=_OPERATION, **describe(error))
                    raise CdnRefused from error
                raise


class NullCdn:
    """A `Cdn` for where there is none: nothing is cached, so there is nothing to drop."""

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        """Do nothing."""
