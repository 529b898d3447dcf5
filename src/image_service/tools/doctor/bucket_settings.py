"""Rules for the bucket's settings, and the findings they lead to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

_PICTURES: Final = "images/"
_TEMPORARY: Final = "temp/"
_ALL_OBJECTS: Final = re.compile(r"\*|[^/]+(/)?\*")  # an ARN of S3 has one slash


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


def tls_error(response: Any) -> str | None:
    statements = _listed(json.loads(response.get("Policy", "{}")).get("Statement", []))
    if any(_denies_all_without_tls(statement) for statement in statements):
        return None
    return "its policy lets requests in without TLS"


def _denies_all_without_tls(statement: Any) -> bool:
    """To anyone, for any object, whatever is asked for: without a second condition."""
    principal = statement.get("Principal")
    who = principal.get("AWS") if isinstance(principal, dict) else principal
    actions = {str(action).lower() for action in _listed(statement.get("Action"))}
    resources = _listed(statement.get("Resource"))
    return (
        statement.get("Effect") == "Deny"
        and _listed(who) == ["*"]
        and not actions.isdisjoint({"*", "s3:*"})
        and any(_ALL_OBJECTS.fullmatch(str(resource)) for resource in resources)
        and _is_without_tls(statement.get("Condition", {}))
    )


def _is_without_tls(condition: Any) -> bool:
    found = {
        (operator.lower(), key.lower(), str(value).lower())
        for operator, keys in condition.items()
        for key, values in keys.items()
        for value in _listed(values)
    }
    wanted = ("aws:securetransport", "false")
    return found in ({("bool", *wanted)}, {("boolifexists", *wanted)})


def _listed(value: Any) -> list[Any]:
    """JSON policies may leave out the brackets around a single thing."""
    return value if isinstance(value, list) else [value]


def _versioning_error(response: Any) -> str | None:
    return None if response.get("Status") == "Enabled" else "versioning is off: a deletion is final"


def _encryption_error(response: Any) -> str | None:
    rules = response.get("ServerSideEncryptionConfiguration", {}).get("Rules")
    return None if rules else "what lies there is not encrypted"


def cors_error(response: Any) -> str | None:
    if any("GET" in rule.get("AllowedMethods", []) for rule in response.get("CORSRules", [])):
        return None
    return "scripts of web pages can't read pictures (fetch, a canvas)"


def lifecycle_error(response: Any) -> str | None:
    rules = [_Rule.of(rule) for rule in _enabled(response)]
    errors = []
    if not any(rule.days and rule.whole and _TEMPORARY.startswith(rule.prefix) for rule in rules):
        errors.append("nothing removes what is left under temp/")
    if not any(rule.clears_versions and rule.whole and rule.prefix == "" for rule in rules):
        errors.append("deleted pictures are kept for ever as old versions")
    return "; ".join(errors) or None


def expiry_error(response: Any) -> str | None:
    """Returns an error where pictures may expire; with a tag they may, for they have none."""
    for rule in map(_Rule.of, _enabled(response)):
        meets = _PICTURES.startswith(rule.prefix) or rule.prefix.startswith(_PICTURES)
        if meets and (rule.days or rule.date) and not rule.tagged:
            when = f"{rule.days} days after their upload" if rule.days else "from a date on"
            return f"a lifecycle rule deletes pictures {when}"
    return None


def _enabled(response: Any) -> Sequence[Any]:
    return [rule for rule in response.get("Rules", []) if rule.get("Status") == "Enabled"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Of a lifecycle. `whole`: for all objects with the prefix."""

    prefix: str
    whole: bool
    tagged: bool
    days: int | None  # until it expires
    date: Any
    clears_versions: bool

    @classmethod
    def of(cls, rule: Any) -> _Rule:
        chosen = rule.get("Filter", {})
        chosen = {**chosen, **chosen.get("And", {})}
        expiration = rule.get("Expiration", {})
        return cls(
            prefix=str(chosen.get("Prefix") or rule.get("Prefix", "")),
            whole=chosen.keys() <= {"Prefix"},
            tagged=not chosen.keys().isdisjoint({"Tag", "Tags"}),
            days=expiration.get("Days"),
            date=expiration.get("Date"),
            clears_versions="NoncurrentVersionExpiration" in rule,
        )


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
        check="bucket policy",
        operation="s3:GetBucketPolicy",
        method="get_bucket_policy",
        unset="NoSuchBucketPolicy",
        error=tls_error,
        good="TLS only",
        remedy=f"deny where aws:SecureTransport is false, {_TERRAFORM}",
    ),
    Protection(
        check="bucket cors",
        operation="s3:GetBucketCORS",
        method="get_bucket_cors",
        unset="NoSuchCORSConfiguration",
        error=cors_error,
        good="pictures can be read by scripts, too",
        remedy=f"allow GET {_TERRAFORM}",
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
        error=lifecycle_error,
        good="temp/ and old versions expire",
        remedy=f"add the rules {_TERRAFORM}",
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
    Protection(
        check="bucket encryption",
        operation="s3:GetEncryptionConfiguration",
        method="get_bucket_encryption",
        unset="ServerSideEncryptionConfigurationNotFoundError",
        error=_encryption_error,
        good="on",
        remedy=f"turn SSE-S3 on {_TERRAFORM}",
    ),
)
