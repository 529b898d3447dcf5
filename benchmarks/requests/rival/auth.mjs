// Bearer tokens of a Cognito pool: RS256 only, the keys fetched once and kept.
import { createHash } from "node:crypto";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import { unauthorized } from "./errors.mjs";

const SUBJECT = /^[A-Za-z0-9_.:@|-]{1,128}$/;
const BEARER = /^bearer +([!-~]+) *$/i;
const MAX_CACHED = 10_000;
const MAX_CACHED_MS = 300_000;

export function makeVerifier({ issuer, clientId, jwksUrl, cacheTokens }) {
  const keys = createRemoteJWKSet(new URL(jwksUrl));
  const options = { issuer, algorithms: ["RS256"], clockTolerance: 10 };

  async function verify(token) {
    let payload;
    try {
      ({ payload } = await jwtVerify(token, keys, options));
    } catch (error) {
      const expired = error instanceof errors.JWTExpired;
      throw unauthorized(expired ? "TOKEN_EXPIRED" : "TOKEN_INVALID");
    }
    const client = payload.token_use === "id" ? payload.aud : payload.client_id;
    const known = payload.token_use === "id" || payload.token_use === "access";
    if (!known || client !== clientId || !SUBJECT.test(payload.sub ?? "")) {
      throw unauthorized("TOKEN_INVALID");
    }
    return payload;
  }

  const check = cacheTokens ? cached(verify) : verify;
  return async function authenticate(request) {
    const header = request.headers.authorization;
    if (!header) throw unauthorized("TOKEN_MISSING");
    const found = BEARER.exec(header);
    if (!found) throw unauthorized("TOKEN_INVALID");
    request.userId = (await check(found[1])).sub;
  };
}

// Not what jose does by itself; measured apart, to be fair to who adds it.
function cached(verify) {
  const verified = new Map();
  return async function check(token) {
    const digest = createHash("sha256").update(token).digest("base64");
    const known = verified.get(digest);
    if (known && known.until > Date.now()) return known.payload;
    const payload = await verify(token);
    if (verified.size >= MAX_CACHED) verified.delete(verified.keys().next().value);
    const until = Math.min(payload.exp * 1000, Date.now() + MAX_CACHED_MS);
    verified.set(digest, { payload, until });
    return payload;
  };
}
