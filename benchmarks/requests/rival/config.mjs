// All settings, from the environment.
function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export const config = {
  port: Number(required("PORT")),
  endpoint: required("AWS_ENDPOINT_URL"),
  region: required("AWS_REGION"),
  table: required("TABLE"),
  bucket: required("BUCKET"),
  cdn: required("CDN_BASE_URL"),
  issuer: required("ISSUER"),
  clientId: required("CLIENT_ID"),
  jwksUrl: required("JWKS_URL"),
  redisUrl: process.env.REDIS_URL || null,
  cacheTokens: process.env.CACHE_TOKENS === "1",
  effort: Number(process.env.WEBP_EFFORT ?? 4), // sharp's own default
  maxFileBytes: 10 * 1024 * 1024,
  requestsPerSecond: 1_000_000, // counted, and never reached
};
