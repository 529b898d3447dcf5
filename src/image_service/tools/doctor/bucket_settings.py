"""Settings of the bucket that keep pictures private and restorable.

What else Terraform declares, `terraform plan` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_PICTURES: Final = "images/"


@dataclass(frozen=True, slots=True)
class Protection:
    """One setting of a bucket. `error` judges the response; where nothing is set, `{}`."""

    check: str
    operation: str  # as in a policy
    method: str  # of the client
    unset: str  # AWS's code for that
    error: Callable[[Any], str | None]
    good: str
    remedy: str
    grave: bool = False


def public_error(response: Any) -> str | None:
    blocks = response.get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    missing = [name for name in names if not blocks.get(name)]
    if not missing:
        return None
    which = "" if len(missing) == len(names) else f": {' and '.join(missing)} off"
    return f"public access is not blocked{which}"


def _versioning_error(response: Any) -> str | None:
    return None if response.get("Status") == "Enabled" else "versioning is off: a deletion is final"


def retention_error(response: Any) -> str | None:
    for rule, prefix, others in _enabled(response):
        if "NoncurrentVersionExpiration" in rule and not others and _PICTURES.startswith(prefix):
            return None
    return "deleted pictures are kept for ever as old versions"


def expiry_error(response: Any) -> str | None:
    """Returns an error where pictures may expire; with a tag they may, for they have none."""
    for rule, prefix, others in _enabled(response):
        meets = _PICTURES.startswith(prefix) or prefix.startswith(_PICTURES)
        expires = not rule.get("Expiration", {}).keys().isdisjoint({"Days", "Date"})
        if meets and expires and others.isdisjoint({"Tag", "Tags"}):
            return f"the lifecycle rule {rule.get('ID')} deletes pictures"
    return None


def _enabled(response: Any) -> Iterator[tuple[Any, str, set[str]]]:
    """Yields each rule in force with its prefix, and what else it chooses objects by."""
    for rule in response.get("Rules", []):
        chosen = rule.get("Filter", {})
        chosen = {"Prefix": rule.get("Prefix", ""), **chosen, **chosen.get("And", {})}
        if rule.get("Status") == "Enabled":
            yield rule, chosen["Prefix"], chosen.keys() - {"Prefix", "And"}


_TERRAFORM: Final = "as terraform/modules/storage does"
PROTECTIONS: Final = (
    Protection(
        check="bucket access",
        operation="s3:GetBucketPublicAccessBlock",
        method="get_public_access_block",
        unset="NoSuchPublicAccessBlockConfiguration",
        error=public_error,
        good="not public, whatever a policy says",
        remedy=f"block it {_TERRAFORM}; browsers come by CloudFront",
        grave=True,
    ),
    Protection(
        check="bucket versioning",
        operation="s3:GetBucketVersioning",
        method="get_bucket_versioning",
        unset="NoSuchVersioningConfiguration",
        error=_versioning_error,
        good="on",
        remedy=f"turn it on {_TERRAFORM}",
    ),
    Protection(
        check="bucket lifecycle",
        operation="s3:GetLifecycleConfiguration",
        method="get_bucket_lifecycle_configuration",
        unset="NoSuchLifecycleConfiguration",
        error=retention_error,
        good="old versions expire",
        remedy=f"add the rule {_TERRAFORM}",
    ),
    Protection(
        check="bucket expiry",
        operation="s3:GetLifecycleConfiguration",
        method="get_bucket_lifecycle_configuration",
        unset="NoSuchLifecycleConfiguration",
        error=expiry_error,
        good="no picture expires",
        remedy="take images/ out of the rule; what it deleted are old versions for a while",
        grave=True,
    ),
)
