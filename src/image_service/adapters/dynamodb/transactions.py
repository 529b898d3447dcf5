"""Write transactions: their actions, with the expressions spelled out, and how they run.

They are retried while others are in the way, and definite in their outcome.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from image_service.adapters.aws.errors import (
    cancellation_reasons,
    cancellations,
    describe,
    error_code,
    may_have_happened,
)
from image_service.adapters.dynamodb.items import Item, from_wire, to_wire
from image_service.adapters.dynamodb.keys import Key
from image_service.domain.errors import Contended, DependencyUnavailable, OutcomeUnknown
from image_service.domain.time_limits import TRANSACTION_PATIENCE

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        TransactWriteItemTypeDef,
        UniversalAttributeValueTypeDef,
    )

log = structlog.stdlib.get_logger(__name__)

_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 0.8

_OPERATION: Final = "dynamodb:TransactWriteItems"
_FIRST_FAILURE: Final = 300  # of the HTTP status codes
_CONFLICT: Final = "TransactionConflict"
_CANCELLED: Final = "TransactionCanceledException"
_PASSING_REASONS: Final = frozenset({_CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"})
_PASSING_ERRORS: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression, the values it names with `:`, and reserved words it names with `#`.

    A failed one returns the item as it was instead.
    """

    expression: str
    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Actions:
    """Makes the actions on one table."""

    table_name: str

    def put(
        self, item: Mapping[str, Any], only_if: Condition | None = None
    ) -> TransactWriteItemTypeDef:
        return {
            "Put": {
                "TableName": self.table_name,
                "Item": to_wire(item),
                **_condition_fields(only_if),
            }
        }

    def delete(self, key: Key, only_if: Condition | None = None) -> TransactWriteItemTypeDef:
        return {
            "Delete": {
                "TableName": self.table_name,
                "Key": to_wire(key),
                **_condition_fields(only_if),
            }
        }

    def check(self, key: Key, only_if: Condition) -> TransactWriteItemTypeDef:
        """Writes nothing; the transaction holds only if `only_if` does."""
        return {
            "ConditionCheck": {
                "TableName": self.table_name,
                "Key": to_wire(key),
                "ConditionExpression": only_if.expression,
                **_condition_fields(only_if),
            }
        }

    def update(
        self,
        key: Key,
        *,
        set_to: Mapping[str, Any] | None = None,
        remove: Iterable[str] = (),
        add: Mapping[str, int | AbstractSet[str]] | None = None,
        only_if: Condition | None = None,
    ) -> TransactWriteItemTypeDef:
        """Touches the named attributes and no other: what a newer version wrote stays.

        `add` raises numbers and fills sets. Names go in as placeholders, because many of ours
        are reserved words.
        """
        set_to, add, remove = set_to or {}, add or {}, tuple(remove)
        clauses = {
            "SET": [f"#{name} = :{name}" for name in set_to],
            "REMOVE": [f"#{name}" for name in remove],
            "ADD": [f"#{name} :{name}" for name in add],
        }
        condition = _condition_fields(only_if)
        values = {f":{name}": value for name, value in {**set_to, **add}.items()}
        return {
            "Update": {
                "TableName": self.table_name,
                "Key": to_wire(key),
                "UpdateExpression": " ".join(
                    f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts
                ),
                **condition,
                "ExpressionAttributeNames": {
                    **{f"#{name}": name for name in (*set_to, *remove, *add)},
                    **condition.get("ExpressionAttributeNames", {}),
                },
                "ExpressionAttributeValues": {
                    **to_wire(values),
                    **condition.get("ExpressionAttributeValues", {}),
                },
            }
        }


class _ConditionFields(TypedDict, total=False):
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"]
    ExpressionAttributeValues: dict[str, UniversalAttributeValueTypeDef]


def _condition_fields(only_if: Condition | None) -> _ConditionFields:
    if only_if is None:
        return {}
    fields: _ConditionFields = {
        "ConditionExpression": only_if.expression,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if only_if.values:  # DynamoDB refuses an empty map
        fields["ExpressionAttributeValues"] = to_wire(only_if.values)
    if only_if.names:
        fields["ExpressionAttributeNames"] = dict(only_if.names)
    return fields


@dataclass
class _Attempts:
    """The outcomes of the attempts of one call."""

    in_doubt: bool = False  # one that failed may have been carried out all the same


_attempts: ContextVar[_Attempts | None] = ContextVar("attempts", default=None)


class ConditionFailed(Exception):
    """A condition did not hold, and nothing was written.

    `items` has, for each action of the transaction, None where its condition held, else
    the item as it is: empty where there is none. With `in_doubt`, an earlier try had no
    response; should that one have been carried out after all, the conditions that failed have met
    what it wrote, and what held has not.
    """

    def __init__(self, items: Sequence[Item | None], *, in_doubt: bool) -> None:
        super().__init__()
        self.items = tuple(items)
        self.in_doubt = in_doubt


class Transactions:
    """Runs TransactWriteItems on one client."""

    def __init__(self, client: DynamoDBClient, *, patience: float = TRANSACTION_PATIENCE) -> None:
        self._client = client
        self._patience = patience
        client.meta.events.register(
            "needs-retry.dynamodb.TransactWriteItems", _note_attempt, unique_id="note-attempt"
        )

    async def run(
        self, actions: Sequence[TransactWriteItemTypeDef], *, until: float | None = None
    ) -> None:
        """All of `actions`, or none; no try begins after `until`, by the event loop's clock.

        Raises ConditionFailed; DependencyUnavailable where nothing was written, Contended where
        that was because others were faster each time;
        OutcomeUnknown where that can't be said.
        """
        attempts = _Attempts()
        reset = _attempts.set(attempts)
        try:
            left = math.inf if until is None else until - asyncio.get_running_loop().time()
            await self._write(actions, min(self._patience, left))
        except (BotoCoreError, ClientError) as error:
            items = _failed_conditions(error)
            if any(item is not None for item in items):
                raise ConditionFailed(items, in_doubt=attempts.in_doubt) from error
            log.warning("transaction_failed", operation=_OPERATION, **describe(error))
            if attempts.in_doubt or may_have_happened(error):
                raise OutcomeUnknown from error
            if set(cancellation_reasons(error)) == {_CONFLICT}:
                raise Contended from error
            raise DependencyUnavailable from error
        finally:
            _attempts.reset(reset)

    async def _write(self, actions: Sequence[TransactWriteItemTypeDef], patience: float) -> None:
        # One token over all tries: what an unanswered try did is not done again.
        token = str(uuid.uuid4())
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            reraise=True,
        ):
            with attempt:
                await self._client.transact_write_items(
                    TransactItems=actions, ClientRequestToken=token
                )


def _note_attempt(
    *, response: tuple[Any, Any] | None, caught_exception: Exception | None, **_: Any
) -> None:
    """Called by botocore for each attempt; from outside, its retries show only the last."""
    attempts = _attempts.get()
    error = caught_exception
    if response is not None and response[0].status_code >= _FIRST_FAILURE:
        error = ClientError(response[1], "TransactWriteItems")
    if attempts is not None and error is not None and may_have_happened(error):
        attempts.in_doubt = True


def _is_passing(error: BaseException) -> bool:
    """Returns whether the same transaction may well succeed a moment later."""
    if not isinstance(error, ClientError):
        # Unanswered: the same token finds out what became of it.
        return isinstance(error, BotoCoreError) and may_have_happened(error)
    reasons = set(cancellation_reasons(error))
    if error_code(error) == _CANCELLED:
        return bool(reasons) and reasons <= _PASSING_REASONS
    return error_code(error) in _PASSING_ERRORS or may_have_happened(error)


def _failed_conditions(error: BotoCoreError | ClientError) -> list[Item | None]:
    return [
        from_wire(reason.get("Item", {}))
        if reason.get("Code") == "ConditionalCheckFailed"
        else None
        for reason in cancellations(error)
    ]
