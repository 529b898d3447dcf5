"""Checks of the table: its settings and its use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code
from image_service.adapters.dynamodb.partitions import ALBUM_INDEX, USER_INDEX, Index
from image_service.tools.doctor.aws_errors import NOT_OFFERED, AwsError, diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, Stakes, failed, warning, well

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import (
        GlobalSecondaryIndexDescriptionTypeDef,
        KeySchemaElementTypeDef,
        TableDescriptionTypeDef,
    )

_TABLE_KEYS: Final = {"PK": "HASH", "SK": "RANGE"}
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
        try:
            table = await self._described()
        except AwsError as error:
            return [error.diagnosis]
        if table is None or table["TableStatus"] not in _USABLE or _keyed_wrongly(table):
            return [self._unusable(table)]
        place = f"{self._table_name} in {self._client.meta.region_name}"
        ttl, recovery = await asyncio.gather(self._ttl(), self._recovery())
        return [
            well(self.name, f"{place} is there, keyed by PK and SK"),
            *(_index(index, table) for index in (USER_INDEX, ALBUM_INDEX)),
            ttl,
            recovery,
            _encryption(table),
            *self._deletion_protection(table),
        ]

    async def _described(self) -> TableDescriptionTypeDef | None:
        with self._diagnosed(self.name, "dynamodb:DescribeTable"):
            try:
                response = await self._client.describe_table(TableName=self._table_name)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return response["Table"]

    def _unusable(self, table: TableDescriptionTypeDef | None) -> Diagnosis:
        place = f"{self._table_name} in {self._client.meta.region_name}"
        if table is None:
            remedy = f"check IMAGE_SERVICE_TABLE_NAME and AWS_REGION, or make it {_AS_TERRAFORM}"
            return failed(self.name, f"there is no table {place}", remedy)
        if table["TableStatus"] not in _USABLE:
            remedy = "wait for it, or look at it in the DynamoDB console"
            return failed(self.name, f"{place} is {table['TableStatus']}", remedy)
        remedy = f"name the right table; keys can't be changed, so else make one {_AS_TERRAFORM}"
        return failed(self.name, f"{place} is not keyed by the texts PK and SK", remedy)

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

    def _deletion_protection(self, table: TableDescriptionTypeDef) -> Sequence[Diagnosis]:
        check = "table deletion"
        if table.get("DeletionProtectionEnabled"):
            return [well(check, "protected")]
        if not self._stakes.production:
            return []
        detail = "not protected: one call deletes the table"
        return [self._stakes.missing(check, detail, "set deletion_protection = true in Terraform")]


def _keyed_wrongly(table: TableDescriptionTypeDef) -> bool:
    return _schema(table.get("KeySchema", [])) != _TABLE_KEYS or bool(_no_texts(_TABLE_KEYS, table))


def _no_texts(names: Iterable[str], table: TableDescriptionTypeDef) -> list[str]:
    """Those of the key attributes `names` that hold something else."""
    types = {
        one["AttributeName"]: one["AttributeType"] for one in table.get("AttributeDefinitions", [])
    }
    return [name for name in names if types.get(name) != _TEXT]


def _schema(elements: Sequence[KeySchemaElementTypeDef]) -> dict[str, str]:
    return {element["AttributeName"]: element["KeyType"] for element in elements}


def _index(index: Index, table: TableDescriptionTypeDef) -> Diagnosis:
    check = f"index {index.name}"
    remedy = (
        f"make it {_AS_TERRAFORM}: partition key {index.partition_key}, "
        f"sort key {index.sort_key}, projection ALL"
    )
    indexes = {one.get("IndexName"): one for one in table.get("GlobalSecondaryIndexes", [])}
    found = indexes.get(index.name)
    if found is None:
        return failed(check, f"{table.get('TableName')} has no such index", remedy)
    if error := _error(found, index, table):
        return failed(check, error, f"delete it, then {remedy}")
    if found.get("IndexStatus") not in _USABLE:
        detail = f"is {found.get('IndexStatus')}: lists fail or come short"
        return failed(check, detail, "wait until DynamoDB has filled it")
    return well(check, "is there, with all attributes")


def _error(
    found: GlobalSecondaryIndexDescriptionTypeDef, index: Index, table: TableDescriptionTypeDef
) -> str | None:
    keys = _schema(found.get("KeySchema", []))
    if keys != {index.partition_key: "HASH", index.sort_key: "RANGE"}:
        return f"is keyed by {' and '.join(keys)}"
    if others := _no_texts(keys, table):
        return f"is keyed by {' and '.join(others)} as something else than text"
    projection = found.get("Projection", {}).get("ProjectionType")
    return None if projection == "ALL" else f"has only some attributes (projection {projection})"


def _encryption(table: TableDescriptionTypeDef) -> Diagnosis:
    check = "table encryption"
    found = table.get("SSEDescription", {})
    if found.get("Status") in {"ENABLED", "UPDATING"}:
        return well(check, f"by a key of the account's ({found.get('SSEType')})")
    detail = "by DynamoDB's own key only, whose use CloudTrail does not show"
    return warning(check, detail, f"turn it on {_AS_TERRAFORM}")
