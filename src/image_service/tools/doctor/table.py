"""Checks of the table: its settings and its use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX, Index
from image_service.tools.doctor.aws_errors import NOT_OFFERED, AwsError, diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, failed, well

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        KeySchemaElementTypeDef,
        TableDescriptionTypeDef,
    )

_USABLE: Final = frozenset({"ACTIVE", "UPDATING"})
_AS_TERRAFORM: Final = "as terraform/modules/storage does"
_TEXT: Final = "S"


class TableCheck:
    """A `SystemCheck` of everything but the table's content."""

    name = "table"

    def __init__(self, client: DynamoDBClient, table_name: str, stakes: Stakes) -> None:
        self._client = client
        self._table_name = table_name
        self._stakes = stakes

    async def examine(self) -> Sequence[Diagnosis]:
        place = f"{self._table_name} in {self._client.meta.region_name}"
        table = await self._described()
        if table is None:
            remedy = f"check IMAGE_SERVICE_TABLE_NAME and AWS_REGION, or make it {_AS_TERRAFORM}"
            return [failed(self.name, f"there is no table {place}", remedy)]
        if error := self._error(table, place):
            return [error]
        return [
            well(self.name, f"{place} is there, keyed by PK and SK"),
            *(_index(index, table) for index in (USER_INDEX, ALBUM_INDEX)),
            *await asyncio.gather(self._ttl(), self._recovery()),
        ]

    async def _described(self) -> TableDescriptionTypeDef | None:
        with self._diagnosed(self.name, "dynamodb:DescribeTable"):
            try:
                response = await self._client.describe_table(TableName=self._table_name)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return response["Table"]

    def _error(self, table: TableDescriptionTypeDef, place: str) -> Diagnosis | None:
        if table["TableStatus"] not in _USABLE:
            remedy = "wait for it, or look at it in the DynamoDB console"
            return failed(self.name, f"{place} is {table['TableStatus']}", remedy)
        if not _is_keyed_by("PK", "SK", table.get("KeySchema", []), table):
            remedy = (
                f"name the right table; keys can't be changed, so else make one {_AS_TERRAFORM}"
            )
            return failed(self.name, f"{place} is not keyed by the texts PK and SK", remedy)
        return None

    async def _ttl(self) -> Diagnosis:
        check = "table ttl"
        try:
            with self._diagnosed(check, "dynamodb:DescribeTimeToLive"):
                response = await self._client.describe_time_to_live(TableName=self._table_name)
        except AwsError as error:
            return error.diagnosis
        found = response["TimeToLiveDescription"]
        if found.get("AttributeName") == "ttl" and found.get("TimeToLiveStatus") in {
            "ENABLED",
            "ENABLING",
        }:
            return well(check, "on, by attribute ttl")
        detail = "nothing expires: time to live by attribute ttl is off"
        return self._stakes.missing(check, detail, f"turn it on {_AS_TERRAFORM}", grave=True)

    async def _recovery(self) -> Diagnosis:
        check = "table recovery"
        try:
            with self._diagnosed(check, "dynamodb:DescribeContinuousBackups"):
                response = await self._backups()
        except AwsError as error:
            return error.diagnosis
        found = response.get("PointInTimeRecoveryDescription", {})
        if found.get("PointInTimeRecoveryStatus") == "ENABLED":
            return well(check, "to any point in time")
        detail = "no point-in-time recovery: what is lost stays lost"
        return self._stakes.missing(check, detail, f"turn it on {_AS_TERRAFORM}")

    async def _backups(self) -> Any:
        try:
            response = await self._client.describe_continuous_backups(TableName=self._table_name)
        except ClientError as error:
            if error_code(error) in NOT_OFFERED:
                return {}
            raise
        return response["ContinuousBackupsDescription"]

    def _diagnosed(self, check: str, operation: str) -> AbstractContextManager[None]:
        return diagnosed(check, operation, self._client.meta.endpoint_url, needed=False)


def _is_keyed_by(
    partition_key: str,
    sort_key: str,
    schema: Sequence[KeySchemaElementTypeDef],
    table: TableDescriptionTypeDef,
) -> bool:
    """Returns whether `schema`, of the table or an index, has these keys, both of them texts."""
    keys = {one["AttributeName"]: one["KeyType"] for one in schema}
    types = {
        one["AttributeName"]: one["AttributeType"] for one in table.get("AttributeDefinitions", [])
    }
    return keys == {partition_key: "HASH", sort_key: "RANGE"} and all(
        types.get(name) == _TEXT for name in keys
    )


def _index(index: Index, table: TableDescriptionTypeDef) -> Diagnosis:
    check = f"index {index.name}"
    keys = (index.partition_key, index.sort_key)
    remedy = f"make it {_AS_TERRAFORM}: partition key {keys[0]}, sort key {keys[1]}, projection ALL"
    indexes = {one.get("IndexName"): one for one in table.get("GlobalSecondaryIndexes", [])}
    found = indexes.get(index.name)
    if found is None:
        return failed(check, f"{table.get('TableName')} has no such index", remedy)
    if not _is_keyed_by(*keys, found.get("KeySchema", []), table):
        detail = f"is not keyed by the texts {' and '.join(keys)}"
        return failed(check, detail, f"delete it, then {remedy}")
    projection = found.get("Projection", {}).get("ProjectionType")
    if projection != "ALL":
        detail = f"has only some attributes (projection {projection})"
        return failed(check, detail, f"delete it, then {remedy}")
    if found.get("IndexStatus") not in _USABLE:
        detail = f"is {found.get('IndexStatus')}: lists fail or come short"
        return failed(check, detail, "wait until DynamoDB has filled it")
    return well(check, "is there, with all attributes")
