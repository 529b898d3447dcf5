"""Operator-facing diagnosis of errors: of AWS by their code, of HTTP by their cause.

Never in the words of the error, which may quote what was signed, a session token included, or a
URL's password.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from image_service.adapters.aws.errors import error_code
from image_service.tools.doctor.findings import Finding, failed, warning

NOT_OFFERED: Final = ("NotImplemented", "UnknownOperationException")  # by emulators

# Operations whose right has another name, in policies, than the operation.
_RIGHTS: Final = {
    "DeleteObject": "s3:DeleteObject on images/*",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetInvalidation": "cloudfront:GetInvalidation",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "HeadBucket": "s3:ListBucket",
    "PutObject": "s3:PutObject on images/*",
    "TransactWriteItems": "dynamodb:ConditionCheckItem and UpdateItem, in a transaction",
}
# Those that the service itself never asks for: being denied them is only a warning.
_OF_OPERATORS: Final = ("Describe", "GetBucket", "GetInvalidation", "GetPublicAccessBlock")

_GET_CREDENTIALS: Final = (
    "give the task its role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)

_NO_CREDENTIALS: Final = {
    *("CredentialRetrievalError", "MetadataRetrievalError", "NoAuthTokenError"),
    *("NoCredentialsError", "PartialCredentialsError"),
}
_REFUSED: Final = {
    *("AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature"),
    *("IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId"),
    *("InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken"),
    *("SignatureDoesNotMatch", "UnrecognizedClientException"),
    "400",  # all a HEAD says of an expired token
}
_DENIED: Final = {
    *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "403"),
}
_SKEWED: Final = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
_NO_RESPONSE: Final = {"ConnectionError", "HTTPClientError"}
# AWS's codes, or the names of botocore's classes; what is wrong; what to do about it.
_KINDS: Final = (
    (_NO_CREDENTIALS, "there are no AWS credentials ({code})", _GET_CREDENTIALS),
    (_REFUSED, "AWS refuses the credentials ({code})", f"renew them: {_GET_CREDENTIALS}"),
    (_DENIED, "the credentials may not {right}", "allow it in the task's role"),
    (_SKEWED, "AWS finds this clock wrong ({code})", "set it by NTP"),
    (
        _NO_RESPONSE,
        "{place} does not respond ({code})",
        "check AWS_REGION, AWS_ENDPOINT_URL_…, VPC endpoints and security groups",
    ),
    ({"Exception"}, "{right} fails ({code})", "look the code up in AWS's API reference"),
)


def aws_error(error: BotoCoreError | ClientError, right: str = "") -> Finding:
    """Returns what is wrong, and what to do about it.

    `right` as in a policy, where the operation alone doesn't say it.
    """
    code, operation, place = error_code(error), "", "AWS"
    if isinstance(error, ClientError):
        operation = error.operation_name
        right = right or _RIGHTS.get(operation, f"dynamodb:{operation}")
    else:
        place = host_of(str(error.kwargs.get("endpoint_url", ""))) or place
        right = right or "a call of AWS"
    if code in _DENIED and operation.startswith(_OF_OPERATORS):
        remedy = "nothing is known to be wrong; to find out, use a role that may read settings"
        return warning(f"not looked at: the credentials may not {right}", remedy)
    names = {code, *(kind.__name__ for kind in type(error).__mro__)}
    detail, remedy = next(texts for known, *texts in _KINDS if known & names)
    return failed(detail.format(code=code, right=right, place=place), remedy)


async def aws_error_in(request: Awaitable[Any], right: str) -> Finding | None:
    """Returns what is wrong where it fails."""
    try:
        await request
    except (BotoCoreError, ClientError) as error:
        return aws_error(error, right)
    return None


async def response_of(request: Awaitable[Any], *expected: str) -> Any:
    """Returns the response, or the error's where that has one of the `expected` codes."""
    try:
        return await request
    except ClientError as error:
        if error_code(error) not in expected:
            raise
        return error.response


@asynccontextmanager
async def cleared_away(clear: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Await `clear` at the end, whatever happened within; its failure hides no other error.

    A write without a response may have been carried out, so the write belongs within.
    """
    try:
        yield
    except BaseException:
        with suppress(BotoCoreError, ClientError):
            await clear()
        raise
    await clear()


def http_error(error: httpx.HTTPError) -> str:
    """Returns what is wrong, by the error at the bottom of it."""
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its name does not resolve"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its TLS certificate is not valid for it"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "it does not speak TLS as it should"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "it refuses connections"
    if isinstance(error, httpx.TimeoutException):
        return "it does not respond in time"
    return f"it does not respond ({type(error).__name__})"


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def host_of(url: str) -> str:
    """Returns host and port, without a password."""
    return urlsplit(url).netloc.rpartition("@")[2]
