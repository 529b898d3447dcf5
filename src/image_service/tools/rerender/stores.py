"""All images, page by page, and their main pictures. No request reads like this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from botocore.exceptions import ClientError

from image_service.adapters.aws.errors import error_code, translated
from image_service.adapters.dynamodb import keys
from image_service.adapters.dynamodb.items import from_wire, to_image, to_wire
from image_service.domain.errors import DependencyUnavailable
from image_service.domain.images import Image

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client

_PAGE: Final = 100  # items, of all kinds: what an interrupted run looks at again
_IMAGES: Final = "SK = :image AND attribute_not_exists(deletedAt)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePage:
    """Live images among `looked_at` items; of those that can't be read, the ids."""

    images: Sequence[Image]
    unreadable: Sequence[str]
    looked_at: int
    following: str | None


class Images(Protocol):
    async def size(self) -> int:
        """About how many items there are, of all kinds."""
        ...

    async def page(self, position: str | None) -> ImagePage:
        """The live images among some items, read consistently; None is the beginning."""
        ...


class MainPictures(Protocol):
    async def read(self, key: str) -> bytes | None:
        """None where there is none."""
        ...


class DynamoImages:
    """An `Images`."""

    def __init__(self, client: DynamoDBClient, table_name: str, *, page_items: int = _PAGE) -> None:
        self._client = client
        self._table_name = table_name
        self._page_items = page_items

    async def size(self) -> int:
        with translated("dynamodb:DescribeTable"):
            response = await self._client.describe_table(TableName=self._table_name)
        return response["Table"].get("ItemCount", 0)

    async def page(self, position: str | None) -> ImagePage:
        request: dict[str, Any] = {}
        if position is not None:
            request["ExclusiveStartKey"] = to_wire(json.loads(position))
        with translated("dynamodb:Scan"):
            response = await self._client.scan(
                TableName=self._table_name,
                FilterExpression=_IMAGES,
                ExpressionAttributeValues=to_wire({":image": keys.image_key("")["SK"]}),
                ConsistentRead=True,
                Limit=self._page_items,
                **request,
            )
        images, unreadable = [], []
        for item in map(from_wire, response["Items"]):
            try:
                image = to_image(item)
                _ = image.main  # without which there is nothing to make others from
                images.append(image)
            except (AttributeError, KeyError, TypeError, ValueError):
                unreadable.append(keys.image_id_of(item["PK"]))
        last = response.get("LastEvaluatedKey")
        return ImagePage(
            images=images,
            unreadable=unreadable,
            looked_at=response["ScannedCount"],
            following=json.dumps(from_wire(last)) if last else None,
        )


class S3MainPictures:
    """A `MainPictures` of one bucket. The service itself never reads a picture back."""

    def __init__(self, client: S3Client, *, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def read(self, key: str) -> bytes | None:
        with translated("s3:GetObject"):
            try:
                response = await self._client.get_object(Bucket=self._bucket, Key=key)
                return await response["Body"].read()
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            except aiohttp.ClientError as error:  # it broke off half-way
                raise DependencyUnavailable from error
