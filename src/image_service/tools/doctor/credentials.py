"""The check that there are AWS credentials and that AWS accepts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, NoCredentialsError

from image_service.adapters.aws.errors import error_code
from image_service.tools.doctor.aws_errors import diagnosed
from image_service.tools.doctor.diagnosis import Diagnosis, well

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


class CredentialsCheck:
    """A `SystemCheck`. Tries them on a read the service itself makes: its role may no more."""

    name = "credentials"

    def __init__(self, session: Any, client: DynamoDBClient, table_name: str) -> None:
        self._session = session  # aioboto3 has no types
        self._client = client
        self._table_name = table_name

    async def examine(self) -> Sequence[Diagnosis]:
        meta = self._client.meta
        with diagnosed(self.name, "dynamodb:GetItem", meta.endpoint_url):
            source = await self._source()
            await self._try()
        return [well(self.name, f"AWS takes those of {source}, region {meta.region_name}")]

    async def _source(self) -> str:
        credentials = await self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        await credentials.get_frozen_credentials()  # has a role's fetched
        return str(credentials.method)

    async def _try(self) -> None:
        key: Any = {"PK": {"S": "HEALTH"}, "SK": {"S": "PING"}}
        try:
            await self._client.get_item(TableName=self._table_name, Key=key)
        except ClientError as error:
            # Said by someone who knows who is asking; the table has a check of its own.
            if error_code(error) != "ResourceNotFoundException":
                raise
