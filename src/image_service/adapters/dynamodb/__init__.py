"""Images, their indexes and counters, and the work around them, in one DynamoDB table."""

from image_service.adapters.dynamodb.backlog import DynamoBacklog
from image_service.adapters.dynamodb.health import DynamoHealth
from image_service.adapters.dynamodb.idempotency import DynamoIdempotencyRecords
from image_service.adapters.dynamodb.intents import DynamoUploadIntents
from image_service.adapters.dynamodb.lists import DynamoImageLists
from image_service.adapters.dynamodb.outbox import DynamoOutbox
from image_service.adapters.dynamodb.repository import DynamoImageRepository
from image_service.adapters.dynamodb.rerenders import DynamoRerenders
from image_service.adapters.dynamodb.usage import DynamoUsageCounters

__all__ = [
    "DynamoBacklog",
    "DynamoHealth",
    "DynamoIdempotencyRecords",
    "DynamoImageLists",
    "DynamoImageRepository",
    "DynamoOutbox",
    "DynamoRerenders",
    "DynamoUploadIntents",
    "DynamoUsageCounters",
]
