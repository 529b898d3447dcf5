"""AWS failures in the words of the domain.

What AWS says is logged and chained as the cause; it never becomes part of the message.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import structlog
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)

from image_service.domain.errors import DependencyUnavailable
from image_service.telemetry.metrics import CallOutcome

log = structlog.stdlib.get_logger(__name__)

_NEVER_SENT: Final = (
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_THROTTLED: Final = frozenset(
    {
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyInvalidationsInProgress",
        "TooManyRequestsException",
    }
)


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn an AWS failure within into DependencyUnavailable.

    For reads, and for writes that may safely be repeated or compensated whatever became
    of them.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log.warning("aws_call_failed", operation=operation, **describe(error))
        raise DependencyUnavailable from error


def describe(error: BotoCoreError | ClientError) -> dict[str, Any]:
    """The fields of a log line: the kind, the cause, and the message of AWS itself."""
    facts: dict[str, Any] = {"kind": error_code(error), "cause": error}
    if isinstance(error, ClientError):
        facts["aws_request_id"] = error.response.get("ResponseMetadata", {}).get("RequestId")
    if reasons := cancellation_reasons(error):
        facts["reasons"] = reasons
    return facts


def error_code(error: BotoCoreError | ClientError) -> str:
    """AWS's code, such as `ThrottlingException`, or the name of the local exception."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "")
    return type(error).__name__


def cancellations(error: BotoCoreError | ClientError) -> list[Any]:
    """Returns what DynamoDB says of each action of a cancelled transaction, in their order."""
    if not isinstance(error, ClientError):
        return []
    response: Any = error.response  # CancellationReasons is only in some of them
    reasons: list[Any] = response.get("CancellationReasons", [])
    return reasons


def cancellation_reasons(error: BotoCoreError | ClientError) -> list[str]:
    """The codes of those actions that were in the way, such as `TransactionConflict`."""
    codes = [reason.get("Code", "None") for reason in cancellations(error)]
    return [code for code in codes if code != "None"]


def outcome_of(error: ClientError) -> CallOutcome:
    """The outcome of a call to AWS, as it is counted."""
    # A transaction that is throttled is cancelled, for reasons with names of their own.
    codes = {error_code(error), *cancellation_reasons(error)}
    status = _status(error)
    if status == _TOO_MANY or codes & _THROTTLED:
        return "throttled"
    return "failed" if status >= _SERVER_ERROR else "refused"


def may_have_happened(error: BaseException) -> bool:
    """Returns whether a write that failed like this may have been carried out all the same.

    False only where it never left this process, or the server refused it.
    """
    if isinstance(error, ClientError):
        return _status(error) >= _SERVER_ERROR
    if isinstance(error, EndpointConnectionError):
        # aiobotocore also uses this one for a connection that broke after the request
        # was sent; only its cause distinguishes a refused connection from a broken one.
        cause = error.__context__
        return not isinstance(cause, aiohttp.ClientConnectorError | socket.gaierror)
    return not isinstance(error, _NEVER_SENT)


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
