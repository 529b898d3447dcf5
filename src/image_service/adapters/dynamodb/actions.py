"""Single actions of a write transaction, with the expressions spelled out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from image_service.adapters.dynamodb.items import to_wire
from image_service.adapters.dynamodb.keys import Key

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        TransactWriteItemTypeDef,
        UniversalAttributeValueTypeDef,
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
