"""The table and the bucket, made on an emulator as Terraform makes them on AWS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import GlobalSecondaryIndexTypeDef
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.literals import BucketLocationConstraintType

_KEY_ATTRIBUTES = ("PK", "SK", "GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK")


async def create_table(client: DynamoDBClient, name: str) -> None:
    """Make the table if it is not there, and return once it can be used."""
    try:
        await client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": "S"} for attribute in _KEY_ATTRIBUTES
            ],
            KeySchema=[
                {"AttributeName": "PK", "KeyType": "HASH"},
                {"AttributeName": "SK", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[_index("UserIndex", "GSI1"), _index("AlbumIndex", "GSI2")],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            SSESpecification={"Enabled": True},
        )
    except client.exceptions.ResourceInUseException:
        return
    await client.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    await client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    await _enable_recovery(client, name)


def _index(name: str, prefix: str) -> GlobalSecondaryIndexTypeDef:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": f"{prefix}PK", "KeyType": "HASH"},
            {"AttributeName": f"{prefix}SK", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }


async def _enable_recovery(client: DynamoDBClient, name: str) -> None:
    try:
        await client.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    except ClientError as error:
        # DynamoDB Local has no backups.
        if error.response["Error"]["Code"] != "UnknownOperationException":
            raise


async def create_bucket(client: S3Client, name: str) -> None:
    """Make the bucket if it is not there.

    Anyone may read its objects, because no CloudFront stands before it to do so.
    """
    try:
        if client.meta.region_name == "us-east-1":  # the one region that can't be named
            await client.create_bucket(Bucket=name)
        else:
            region = cast("BucketLocationConstraintType", client.meta.region_name)
            await client.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}
            )
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        pass
    await client.put_bucket_policy(Bucket=name, Policy=json.dumps(_public_reads(name)))


def _public_reads(bucket: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
