"""Images, their indexes and counters in one DynamoDB table."""

from image_service.adapters.dynamodb.health import DynamoHealth
from image_service.adapters.dynamodb.lists import DynamoImageLists
from image_service.adapters.dynamodb.repository import DynamoImageRepository

__all__ = ["DynamoHealth", "DynamoImageLists", "DynamoImageRepository"]
