"""Observation of AWS calls, from the first attempt to the last."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from image_service.adapters.aws.errors import cancellation_reasons, error_code
from image_service.telemetry.observers import CallObserver, CallOutcome

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


def observe_calls(client: Any, service: str, observer: CallObserver) -> None:
    """Have `observer` told of each call of `client`, retries and waiting included.

    botocore's own events would miss the calls a deadline cuts short. The method wrapped
    here is the one all others go through, and what AWS X-Ray and OpenTelemetry wrap, too.
    """
    call = client._make_api_call  # noqa: SLF001 - see above

    async def observed(operation: str, parameters: Any) -> Any:
        started = perf_counter()
        outcome: CallOutcome = "cancelled"
        metadata: dict[str, Any] = {}
        try:
            answer = await call(operation, parameters)
            outcome, metadata = "ok", answer.get("ResponseMetadata", {})
        except ClientError as error:
            outcome, metadata = _outcome(error), _metadata(error)
            raise
        except BotoCoreError:
            outcome = "unanswered"
            raise
        else:
            return answer
        finally:
            retries = metadata.get("RetryAttempts", 0)
            observer(service, operation, outcome, perf_counter() - started, retries)

    client._make_api_call = observed  # noqa: SLF001 - see above


def _outcome(error: ClientError) -> CallOutcome:
    status = _metadata(error).get("HTTPStatusCode", _SERVER_ERROR)
    # A transaction that is throttled is cancelled, for reasons with names of their own.
    codes = {error_code(error), *cancellation_reasons(error)}
    if status == _TOO_MANY or codes & _THROTTLED:
        return "throttled"
    return "failed" if status >= _SERVER_ERROR else "refused"


def _metadata(error: ClientError) -> dict[str, Any]:
    return dict(error.response.get("ResponseMetadata", {}))
