"""Images, their indexes and counters, and the work around them, in one DynamoDB table."""

from image_service.adapters.dynamodb.audit import DynamoTableAudit
from image_service.adapters.dynamodb.health import DynamoHealth
from image_service.adapters.dynamodb.idempotency import DynamoIdempotencyRecords
from image_service.adapters.dynamodb.intents import DynamoUploadIntents
from image_service.adapters.dynamodb.lists import DynamoImageLists
from image_service.adapters.dynamodb.outbox import DynamoOutbox
from image_service.adapters.dynamodb.repository import DynamoImageRepository

__all__ = [
    "DynamoHealth",
    "DynamoIdempotencyRecords",
    "DynamoImageLists",
    "DynamoImageRepository",
    "DynamoOutbox",
    "DynamoTableAudit",
    "DynamoUploadIntents",
]
