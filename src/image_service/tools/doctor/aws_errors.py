"""Operator-facing diagnosis of AWS errors, by their code, never in AWS's own words.

Those may quote what was signed, a session token included.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from image_service.adapters.aws.errors import error_code
from image_service.tools.doctor.diagnosis import Diagnosis, failed, warning

NOT_OFFERED: Final = frozenset({"NotImplemented", "UnknownOperationException"})  # by emulators

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")

_NO_CREDENTIALS: Final = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
)
_NO_RESPONSE: Final = (BotoConnectionError, HTTPClientError)
_REFUSED: Final = frozenset(
    {
        *("AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature"),
        *("IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId"),
        *("InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException"),
        "400",  # all a HEAD says of an expired token
    }
)
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "403"}
)
_SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})

_GET_CREDENTIALS: Final = (
    "give the task its role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


class AwsError(Exception):
    """A failed call, and what to say about it."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis
        super().__init__(diagnosis.detail)


def is_aws(endpoint: str) -> bool:
    return f".{urlsplit(endpoint).hostname}".endswith(_AWS_DOMAINS)


@contextmanager
def diagnosed(check: str, operation: str, endpoint: str, *, needed: bool = True) -> Iterator[None]:
    """Turn an AWS failure within into AwsError.

    `operation` as in a policy, such as `s3:ListBucket`; not `needed`: the service itself
    never calls it, so that being denied it is only a warning.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsError(_diagnosis(check, operation, endpoint, error, needed=needed)) from error


@asynccontextmanager
async def cleared_away(clear: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Await `clear` at the end, whatever happened within; its failure hides no other error.

    A write without a response may have been carried out, so the write belongs within.
    """
    try:
        yield
    except BaseException:
        with suppress(AwsError):
            await clear()
        raise
    await clear()


def _diagnosis(
    check: str, operation: str, endpoint: str, error: BotoCoreError | ClientError, *, needed: bool
) -> Diagnosis:
    code = error_code(error)
    if code in _DENIED and not needed:
        remedy = "nothing is known to be wrong; to find out, use a role that may read settings"
        return warning(check, f"not looked at: the credentials may not {operation}", remedy)
    detail, remedy = _explained(code, operation, endpoint, error)
    return failed(check, detail, remedy)


def _explained(
    code: str, operation: str, endpoint: str, error: BotoCoreError | ClientError
) -> tuple[str, str]:
    """Returns what is wrong, and what to do about it."""
    if isinstance(error, _NO_CREDENTIALS):
        return f"there are no AWS credentials ({code})", _GET_CREDENTIALS
    if code in _REFUSED:
        return f"AWS refuses the credentials ({code})", f"renew them: {_GET_CREDENTIALS}"
    if code in _DENIED:
        return f"the credentials may not {operation}", "allow it in the task's role"
    if code in _SKEWED:
        return f"AWS finds this clock wrong ({code})", "set it by NTP"
    if isinstance(error, _NO_RESPONSE):
        place = urlsplit(endpoint).netloc.rpartition("@")[2]
        remedy = "check AWS_REGION, AWS_ENDPOINT_URL_…, VPC endpoints and security groups"
        return f"{place} does not respond ({code})", remedy
    return f"{operation} fails ({code})", "look the code up in AWS's API reference"
