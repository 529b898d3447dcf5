"""Checks of the bucket, that pictures stay private and there, and of the clock by it.

What else Terraform declares, `terraform plan` compares.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from image_service.tools.doctor.errors import NOT_OFFERED, response_of
from image_service.tools.doctor.findings import Finding, failed, warning, well
from image_service.tools.doctor.runner import Systems

_ABSENT: Final = ("404", "NoSuchBucket")
_AS_TERRAFORM: Final = "as terraform/modules/storage does"
_PICTURES: Final = "images/"
_LATE_SECONDS: Final = 10  # what tokens may be off by
_WRONG_SECONDS: Final = 60


async def there(at: Systems) -> Finding:
    bucket, region = at.settings.bucket, at.s3.meta.region_name
    response = await response_of(at.s3.head_bucket(Bucket=bucket), *_ABSENT)
    if "Error" in response:
        remedy = f"check IMAGE_SERVICE_BUCKET, or make it {_AS_TERRAFORM}"
        return failed(f"there is no bucket {bucket}", remedy)
    # botocore follows a bucket into its region, at the price of a redirect a client.
    found = response.get("BucketRegion") or region
    if found != region and not at.emulated:
        remedy = f"set AWS_REGION to {found}, or name a bucket of {region}"
        return failed(f"{bucket} is in {found}, not in {region}", remedy)
    return well(f"{bucket} in {region} is there")


async def access(at: Systems) -> Finding:
    request = at.s3.get_public_access_block(Bucket=at.settings.bucket)
    error = public_error(
        await response_of(request, "NoSuchPublicAccessBlockConfiguration", *NOT_OFFERED)
    )
    if error is None:
        return well("not public, whatever a policy says")
    return at.missing(error, f"block it {_AS_TERRAFORM}; browsers come by CloudFront")


async def expiry(at: Systems) -> Finding:
    request = at.s3.get_bucket_lifecycle_configuration(Bucket=at.settings.bucket)
    error = expiry_error(await response_of(request, "NoSuchLifecycleConfiguration", *NOT_OFFERED))
    if error is None:
        return well("no picture expires")
    remedy = "take images/ out of the rule; what it deleted are old versions for a while"
    return at.missing(error, remedy)


async def clock(at: Systems) -> Finding:
    """Signatures and tokens depend on this clock."""
    before = datetime.now(UTC)
    date = await _date(at)
    middle = before + (datetime.now(UTC) - before) / 2
    if date is None:
        return warning("S3 did not say what time it is", "see the line of the bucket")
    # A whole second; on average half of it is over.
    seconds = abs((middle - date).total_seconds() - 0.5)
    direction = "ahead of" if middle > date else "behind"
    if seconds <= _LATE_SECONDS:
        return well(f"within {max(1, round(seconds))} s of S3's")
    finding = failed if seconds > _WRONG_SECONDS else warning
    detail = f"{seconds:.0f} s {direction} S3's: tokens and signatures may be refused"
    return finding(detail, "set it by NTP (chrony, or the host's)")


async def _date(at: Systems) -> datetime | None:
    try:
        response: Any = await at.s3.head_bucket(Bucket=at.settings.bucket)
    except ClientError as error:  # a refusal is dated, too
        response = error.response
    except BotoCoreError:
        return None
    header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None


def public_error(response: Any) -> str | None:
    blocks = response.get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    missing = [name for name in names if not blocks.get(name)]
    if not missing:
        return None
    which = "" if len(missing) == len(names) else f": {' and '.join(missing)} off"
    return f"public access is not blocked{which}"


def expiry_error(response: Any) -> str | None:
    """Returns an error where pictures may expire; with a tag they may, for they have none."""
    for rule in response.get("Rules", []):
        chosen = {"Prefix": rule.get("Prefix", ""), **rule.get("Filter", {})}
        chosen |= chosen.get("And", {})
        prefix, days = chosen["Prefix"], rule.get("Expiration", {})
        meets = _PICTURES.startswith(prefix) or prefix.startswith(_PICTURES)
        tagged = "Tag" in chosen or "Tags" in chosen
        if (
            rule.get("Status") == "Enabled"
            and meets
            and not tagged
            and {"Days", "Date"} & days.keys()
        ):
            return f"the lifecycle rule {rule.get('ID')} deletes pictures"
    return None
