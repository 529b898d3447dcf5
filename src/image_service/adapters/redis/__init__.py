"""The cache and the shared counters, on one Redis node (with replicas; no cluster)."""

from image_service.adapters.redis.cache import RedisImageCache
from image_service.adapters.redis.link import RedisHealth, RedisLink, open_redis
from image_service.adapters.redis.rate_limit import RedisWindows

__all__ = ["RedisHealth", "RedisImageCache", "RedisLink", "RedisWindows", "open_redis"]
