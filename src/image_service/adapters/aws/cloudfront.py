"""Invalidations in CloudFront."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
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


# Of the 15 paths with a wildcard that may be in progress, those that one call takes; it may have
# 3,000 of single files besides (docs/adr/0030).
_WILDCARDS: Final = 5


class CloudFrontCdn:
    """A `Cdn`. CloudFront knows a repeated reference and purges once for it.

    A path costs the same with a wildcard: an image's main picture and the folder of its name are
    one where there is room for that, else they go file by file.
    """

    def __init__(self, client: CloudFrontClient, distribution_id: str) -> None:
        self._client = client
        self._distribution_id = distribution_id

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        unique = list(dict.fromkeys(paths))  # a deletion that was repaired may be there twice
        if not unique:  # CloudFront refuses an empty list
            return
        fewer = list(_with_wildcards(unique))
        if 0 < len([path for path in fewer if path.endswith("*")]) <= _WILDCARDS:
            # Under `reference` itself there are only ever files, as of older releases: CloudFront
            # refuses one that it knows with other paths.
            with suppress(CdnBusy):
                await self._create(fewer, f"{reference}-wildcards")
                return
        await self._create(unique, reference)

    async def _create(self, paths: Sequence[str], reference: str) -> None:
        with translated(_OPERATION):
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
                if error_code(error) in _REFUSED:
                    log.warning("invalidation_refused", operation=_OPERATION, **describe(error))
                    raise CdnRefused from error
                raise


def _with_wildcards(paths: Sequence[str]) -> Iterator[str]:
    """`/a/b.webp` with what is under `/a/b/` becomes `/a/b*`; all else stays as it is."""
    folders = {path.rpartition("/")[0] for path in paths}
    stems = {stem for path in paths if (stem := path.rpartition(".")[0]) in folders}
    yield from (f"{stem}*" for stem in sorted(stems))
    for path in paths:
        if stems.isdisjoint({path.rpartition(".")[0], path.rpartition("/")[0]}):
            yield path


class NullCdn:
    """A `Cdn` for where there is none: nothing is cached, so there is nothing to drop."""

    async def invalidate(self, paths: Sequence[str], reference: str) -> None:
        """Do nothing."""
