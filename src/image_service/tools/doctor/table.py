"""Checks of the credentials and of the table: its settings, and reads and writes of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import NoCredentialsError

from image_service.adapters.dynamodb.items import from_wire, to_wire
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX, Index
from image_service.adapters.dynamodb.transactions import Actions, Condition
from image_service.tools.doctor.errors import (
    aws_error_in,
    cleared_away,
    response_of,
)
from image_service.tools.doctor.findings import Finding, failed, well
from image_service.tools.doctor.runner import Systems

_USABLE: Final = frozenset({"ACTIVE", "UPDATING"})
_AS_TERRAFORM: Final = "as terraform/modules/storage does"
_TABLE: Final = Index("", "PK", "SK")
_TRIAL_SECONDS: Final = 3600
_THERE: Final = Condition("attribute_exists(PK)")


async def credentials(at: Systems) -> Finding:
    """Tries them on a read the service itself makes: its role may no more."""
    found = await at.session.get_credentials()
    if found is None:
        raise NoCredentialsError
    await found.get_frozen_credentials()  # has a role's fetched
    key: Any = {"PK": {"S": "HEALTH"}, "SK": {"S": "PING"}}
    request = at.dynamodb.get_item(TableName=at.settings.table_name, Key=key)
    # Said by someone who knows who is asking; the table has a check of its own.
    await response_of(request, "ResourceNotFoundException")
    return well(f"AWS takes those of {found.method}, region {at.dynamodb.meta.region_name}")


async def there(at: Systems) -> Finding:
    place = f"{at.settings.table_name} in {at.dynamodb.meta.region_name}"
    table = await _described(at)
    if not table:
        remedy = f"check IMAGE_SERVICE_TABLE_NAME and AWS_REGION, or make it {_AS_TERRAFORM}"
        return failed(f"there is no table {place}", remedy)
    if table["TableStatus"] not in _USABLE:
        remedy = "wait for it, or look at it in the DynamoDB console"
        return failed(f"{place} is {table['TableStatus']}", remedy)
    if not _is_keyed_by("PK", "SK", table.get("KeySchema", []), table):
        remedy = f"name the right table; keys can't be changed, so else make one {_AS_TERRAFORM}"
        return failed(f"{place} is not keyed by the texts PK and SK", remedy)
    return well(f"{place} is there, keyed by PK and SK")


async def index(wanted: Index, at: Systems) -> Finding:
    return index_in(await _described(at), wanted)


def index_in(table: Mapping[str, Any], wanted: Index) -> Finding:
    """Returns how `wanted` is described in `table`."""
    keys = (wanted.partition_key, wanted.sort_key)
    remedy = f"make it {_AS_TERRAFORM}: partition key {keys[0]}, sort key {keys[1]}, projection ALL"
    indexes = {one.get("IndexName"): one for one in table.get("GlobalSecondaryIndexes", [])}
    found = indexes.get(wanted.name)
    if found is None:
        return failed(f"{table.get('TableName')} has no such index", remedy)
    if not _is_keyed_by(*keys, found.get("KeySchema", []), table):
        detail = f"is not keyed by the texts {' and '.join(keys)}"
        return failed(detail, f"delete it, then {remedy}")
    projection = found.get("Projection", {}).get("ProjectionType")
    if projection != "ALL":
        detail = f"has only some attributes (projection {projection})"
        return failed(detail, f"delete it, then {remedy}")
    if found.get("IndexStatus") not in _USABLE:
        detail = f"is {found.get('IndexStatus')}: lists fail or come short"
        return failed(detail, "wait until DynamoDB has filled it")
    return well("is there, with all attributes")


async def ttl(at: Systems) -> Finding:
    response = await at.dynamodb.describe_time_to_live(TableName=at.settings.table_name)
    found = response["TimeToLiveDescription"]
    enabled = found.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    if enabled and found.get("AttributeName") == "ttl":
        return well("on, by attribute ttl")
    detail = "nothing expires: time to live by attribute ttl is off"
    return at.missing(detail, f"turn it on {_AS_TERRAFORM}")


async def read(at: Systems) -> Sequence[Finding]:
    """Reads in all ways that rights are given for apart: along each index, and in batches."""
    key = to_wire({"PK": _partition(), "SK": "PROBE"})
    batch = at.dynamodb.batch_get_item(RequestItems={at.settings.table_name: {"Keys": [key]}})
    errors = await asyncio.gather(
        aws_error_in(_query(at, _TABLE), "dynamodb:Query"),
        aws_error_in(_query(at, USER_INDEX), f"dynamodb:Query on {USER_INDEX.name}"),
        aws_error_in(_query(at, ALBUM_INDEX), f"dynamodb:Query on {ALBUM_INDEX.name}"),
        aws_error_in(batch, "dynamodb:BatchGetItem"),
    )
    found = [error for error in errors if error is not None]
    return found or [well("by query, along both indexes, and in batches")]


async def write(at: Systems) -> Finding:
    """Puts two items, under a condition and in a transaction; reads and deletes them."""
    dynamodb, table_name = at.dynamodb, at.settings.table_name
    actions = Actions(table_name)
    partition, expires = _partition(), int(time.time()) + _TRIAL_SECONDS  # should deletion fail
    trial, counter = {"PK": partition, "SK": "PROBE"}, {"PK": partition, "SK": "COUNTER"}

    async def delete() -> None:
        for key in (trial, counter):
            await dynamodb.delete_item(TableName=table_name, Key=to_wire(key))

    async with cleared_away(delete):
        await dynamodb.put_item(
            TableName=table_name,
            Item=to_wire({**trial, "type": "doctor", "schemaVersion": 1, "ttl": expires}),
            ConditionExpression="attribute_not_exists(PK)",
        )
        count = actions.update(counter, set_to={"ttl": expires}, add={"count": 1})
        await dynamodb.transact_write_items(TransactItems=[actions.check(trial, _THERE), count])
        response = await dynamodb.get_item(
            TableName=table_name, Key=to_wire(counter), ConsistentRead=True
        )
    if from_wire(response.get("Item", {})).get("count") != 1:
        detail = "an item just put was not read back"
        return failed(detail, "this is no DynamoDB to rely on: use another")
    return well("items were put under conditions and in a transaction, read and deleted")


async def _described(at: Systems) -> Mapping[str, Any]:
    """The table; empty where there is none."""
    request = at.dynamodb.describe_table(TableName=at.settings.table_name)
    response = await response_of(request, "ResourceNotFoundException")
    table: Mapping[str, Any] = response.get("Table", {})
    return table


def _is_keyed_by(
    partition_key: str, sort_key: str, schema: Sequence[Any], table: Mapping[str, Any]
) -> bool:
    """Returns whether `schema`, of the table or an index, has these keys, both of them texts."""
    keys = {one["AttributeName"]: one["KeyType"] for one in schema}
    attributes = table.get("AttributeDefinitions", [])
    types = {one["AttributeName"]: one["AttributeType"] for one in attributes}
    return keys == {partition_key: "HASH", sort_key: "RANGE"} and all(
        types.get(name) == "S" for name in keys
    )


async def _query(at: Systems, index: Index) -> None:
    chosen: Any = {"IndexName": index.name} if index.name else {}
    await at.dynamodb.query(
        TableName=at.settings.table_name,
        KeyConditionExpression=f"{index.partition_key} = :doctor AND {index.sort_key} > :start",
        ExpressionAttributeValues=to_wire({":doctor": _partition(), ":start": "A"}),
        Limit=1,
        **chosen,
    )


def _partition() -> str:
    """A partition that nobody has."""
    return f"DOCTOR#{uuid.uuid4()}"
