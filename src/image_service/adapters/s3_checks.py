"""How the bucket is set up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws_errors import error_code
from image_service.adapters.aws_faults import NOT_OFFERED, AwsFault, diagnosed
from image_service.domain.diagnosis import Diagnosis, Stakes, failed, well

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_ABSENT: Final = frozenset({"404", "NoSuchBucket"})


@dataclass(frozen=True, slots=True)
class _Protection:
    """One setting of a bucket. `fault` judges the answer; where nothing is set, `{}`."""

    check: str
    operation: str  # as in a policy
    method: str  # of the client
    unset: str  # AWS's code for that
    fault: Callable[[Any], str | None]
    good: str
    remedy: str
    grave: bool = False


class BucketCheck:
    """A `SystemCheck` of everything but the bucket's content."""

    name = "bucket"

    def __init__(self, client: S3Client, bucket: str, stakes: Stakes) -> None:
        self._client = client
        self._bucket = bucket
        self._stakes = stakes

    async def examine(self) -> Sequence[Diagnosis]:
        try:
            bucket = await self._there()
        except AwsFault as fault:
            return [fault.diagnosis]
        if bucket.remedy is not None:
            return [bucket]
        return [bucket, *await asyncio.gather(*(self._look_at(one) for one in _PROTECTIONS))]

    async def _there(self) -> Diagnosis:
        region = self._client.meta.region_name
        place = f"{self._bucket} in {region}"
        with diagnosed(self.name, "s3:ListBucket", self._client.meta.endpoint_url):
            try:
                answer = await self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if error_code(error) not in _ABSENT:
                    raise
                remedy = "check IMAGE_SERVICE_BUCKET, or make it as terraform/modules/storage does"
                return failed(self.name, f"there is no bucket {self._bucket}", remedy)
        # botocore follows a bucket into its region, at the price of a redirect a client.
        there = answer.get("BucketRegion") or region
        if there != region and not self._stakes.emulated:
            remedy = f"set AWS_REGION to {there}, or name a bucket of {region}"
            return failed(self.name, f"{self._bucket} is in {there}, not in {region}", remedy)
        return well(self.name, f"{place} is there")

    async def _look_at(self, protection: _Protection) -> Diagnosis:
        endpoint = self._client.meta.endpoint_url
        try:
            with diagnosed(protection.check, protection.operation, endpoint, needed=False):
                answer = await self._ask(protection)
        except AwsFault as fault:
            return fault.diagnosis
        detail = protection.fault(answer)
        if detail is None:
            return well(protection.check, protection.good)
        return self._stakes.missing(
            protection.check, detail, protection.remedy, grave=protection.grave
        )

    async def _ask(self, protection: _Protection) -> Any:
        try:
            return await getattr(self._client, protection.method)(Bucket=self._bucket)
        except ClientError as error:
            if error_code(error) in {protection.unset, *NOT_OFFERED}:
                return {}
            raise


def _public_fault(answer: Any) -> str | None:
    blocks = answer.get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    missing = [name for name in names if not blocks.get(name)]
    if not missing:
        return None
    which = "" if len(missing) == len(names) else f": {' and '.join(missing)} off"
    return f"public access is not blocked{which}"


def _tls_fault(answer: Any) -> str | None:
    statements = json.loads(answer.get("Policy", "{}")).get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        wanted = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
        if statement.get("Effect") == "Deny" and str(wanted).strip("[]'").lower() == "false":
            return None
    return "its policy lets requests in without TLS"


def _versioning_fault(answer: Any) -> str | None:
    return None if answer.get("Status") == "Enabled" else "versioning is off: a deletion is final"


def _encryption_fault(answer: Any) -> str | None:
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules")
    return None if rules else "what lies there is not encrypted"


def _lifecycle_fault(answer: Any) -> str | None:
    rules = [rule for rule in answer.get("Rules", []) if rule.get("Status") == "Enabled"]
    faults = []
    if not any(_prefix(rule) in {"", "temp/"} and "Expiration" in rule for rule in rules):
        faults.append("nothing removes what is left under temp/")
    if not any(_prefix(rule) == "" and "NoncurrentVersionExpiration" in rule for rule in rules):
        faults.append("deleted pictures are kept for ever as old versions")
    return "; ".join(faults) or None


def _prefix(rule: Any) -> str:
    chosen = rule.get("Filter", {})
    prefix = chosen.get("Prefix") or chosen.get("And", {}).get("Prefix") or rule.get("Prefix", "")
    return str(prefix)


_TERRAFORM: Final = "as terraform/modules/storage does"
_PROTECTIONS: Final = (
    _Protection(
        check="bucket access",
        operation="s3:GetBucketPublicAccessBlock",
        method="get_public_access_block",
        unset="NoSuchPublicAccessBlockConfiguration",
        fault=_public_fault,
        good="not public, whatever a policy says",
        remedy=f"block it {_TERRAFORM}; browsers come by CloudFront",
        grave=True,
    ),
    _Protection(
        check="bucket policy",
        operation="s3:GetBucketPolicy",
        method="get_bucket_policy",
        unset="NoSuchBucketPolicy",
        fault=_tls_fault,
        good="TLS only",
        remedy=f"deny where aws:SecureTransport is false, {_TERRAFORM}",
    ),
    _Protection(
        check="bucket versioning",
        operation="s3:GetBucketVersioning",
        method="get_bucket_versioning",
        unset="NoSuchVersioningConfiguration",
        fault=_versioning_fault,
        good="on",
        remedy=f"turn it on {_TERRAFORM}",
    ),
    _Protection(
        check="bucket lifecycle",
        operation="s3:GetLifecycleConfiguration",
        method="get_bucket_lifecycle_configuration",
        unset="NoSuchLifecycleConfiguration",
        fault=_lifecycle_fault,
        good="temp/ and old versions expire",
        remedy=f"add the rules {_TERRAFORM}",
    ),
    _Protection(
        check="bucket encryption",
        operation="s3:GetEncryptionConfiguration",
        method="get_bucket_encryption",
        unset="ServerSideEncryptionConfigurationNotFoundError",
        fault=_encryption_fault,
        good="on",
        remedy=f"turn SSE-S3 on {_TERRAFORM}",
    ),
)
