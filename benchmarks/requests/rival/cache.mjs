// Images in Redis for an hour: read, filled on a miss, deleted by a write.
import { Redis } from "ioredis";

const LIFE_SECONDS = 3600;

export function openCache(url, log) {
  if (!url) return { redis: null, get: async () => null, put: async () => {}, drop: async () => {} };
  const redis = new Redis(url, { commandTimeout: 100, maxRetriesPerRequest: 1 });

  // A request is answered whatever becomes of the cache.
  async function tolerant(command) {
    try {
      return await command;
    } catch (error) {
      log.warn(error, "redis failed");
      return null;
    }
  }

  return {
    redis,
    async get(id) {
      const found = await tolerant(redis.get(`image:${id}`));
      return found && JSON.parse(found);
    },
    put: (image) =>
      tolerant(redis.set(`image:${image.id}`, JSON.stringify(image), "EX", LIFE_SECONDS)),
    drop: (id) => tolerant(redis.del(`image:${id}`)),
  };
}
