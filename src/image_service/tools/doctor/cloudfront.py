"""The check of the CloudFront distribution that invalidations go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code
from image_service.tools.doctor.aws_errors import diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, failed, warning, well

if TYPE_CHECKING:
    from types_aiobotocore_cloudfront.client import CloudFrontClient

_NONE: Final = "IDOCTOR0000000"


class DistributionCheck:
    """A `SystemCheck`. Asks for an invalidation that is not there: to make one costs."""

    name = "cloudfront"

    def __init__(self, client: CloudFrontClient, distribution_id: str) -> None:
        self._client = client
        self._id = distribution_id

    async def examine(self) -> Sequence[Diagnosis]:
        endpoint = self._client.meta.endpoint_url
        with diagnosed(self.name, "cloudfront:GetInvalidation", endpoint, needed=False):
            there = await self._is_there()
        if there:
            return [well(self.name, f"distribution {self._id} is there")]
        remedy = "check IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID"
        return [failed(self.name, f"there is no distribution {self._id}", remedy)]

    async def _is_there(self) -> bool:
        try:
            await self._client.get_invalidation(DistributionId=self._id, Id=_NONE)
        except ClientError as error:
            code = error_code(error)
            if code not in {"NoSuchDistribution", "NoSuchInvalidation"}:
                raise
            return code == "NoSuchInvalidation"
        return True


class NoDistributionCheck:
    """A `SystemCheck` for where none is configured."""

    name = "cloudfront"

    def __init__(self, stakes: Stakes) -> None:
        self._stakes = stakes

    async def examine(self) -> Sequence[Diagnosis]:
        if not self._stakes.production:
            return [well(self.name, "disabled: nothing is invalidated")]
        detail = "disabled: deleted pictures stay at the edge until they expire"
        return [warning(self.name, detail, "set IMAGE_SERVICE_CLOUDFRONT_DISTRIBUTION_ID")]
