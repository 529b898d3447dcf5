// The five routes on Fastify, set up for production: one process, one JSON log line a request.
import compress from "@fastify/compress";
import multipart from "@fastify/multipart";
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";
import { createHash, randomUUID } from "node:crypto";
import { ulid } from "ulid";
import { makeVerifier } from "./auth.mjs";
import { openCache } from "./cache.mjs";
import { config } from "./config.mjs";
import { invalid, notAuthorized, notFound, sendError, versionMismatch, versionRequired } from "./errors.mjs";
import { imageSchema, newItem, objectKeys, pageSchema, toImage, uploadedKey } from "./images.mjs";
import { checksum, inspect, process as makePictures } from "./pictures.mjs";
import * as store from "./store.mjs";

const IMAGE_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

const app = Fastify({
  logger: { level: "info" },
  disableRequestLogging: true, // one line of our own instead of two
  keepAliveTimeout: 75_000,
  genReqId(request) {
    const given = request.headers["x-request-id"];
    return given && REQUEST_ID.test(given) ? given : randomUUID();
  },
});

const cache = openCache(config.redisUrl, app.log);

app.decorateRequest("userId", null);
app.addHook("onRequest", makeVerifier(config));
app.addHook("onSend", async (request, reply) => {
  reply.headers({
    "X-Request-ID": request.id,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
  });
});
app.addHook("onResponse", async (request, reply) => {
  request.log.info(
    {
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime * 10) / 10,
      bytes: reply.getHeader("content-length"),
      user_id: request.userId,
    },
    "request",
  );
});
app.setErrorHandler(sendError);
await app.register(compress, { global: true, threshold: 1024, encodings: ["gzip"] });
await app.register(multipart, { limits: { fileSize: config.maxFileBytes, files: 1, fields: 30 } });
await app.register(rateLimit, {
  max: config.requestsPerSecond,
  timeWindow: 1000,
  hook: "preHandler", // once the user is known
  keyGenerator: (request) => request.userId,
  ...(cache.redis && { redis: cache.redis, nameSpace: "rate:" }),
  skipOnError: true,
});

function owned(found, userId) {
  if (!found) throw notFound();
  if (found.userId !== userId) throw notAuthorized();
  return found;
}

async function stored(request) {
  const { id } = request.params;
  return owned(IMAGE_ID.test(id) ? await store.getItem(id) : null, request.userId);
}

const tagsOf = (header) =>
  header.split(",").map((part) => part.trim().replace(/^W\//, "").replaceAll('"', ""));

function checkVersion(request, current, bodyVersion) {
  const ifMatch = request.headers["if-match"];
  if (ifMatch && ifMatch !== "*" && !tagsOf(ifMatch).includes(String(current))) {
    throw versionMismatch(412, current);
  }
  if (bodyVersion !== undefined && bodyVersion !== current) throw versionMismatch(409, current);
}

app.get(
  "/images/:id",
  { schema: { response: { 200: imageSchema } } },
  async function getImage(request, reply) {
    const { id } = request.params;
    if (!IMAGE_ID.test(id)) throw notFound();
    let image = await cache.get(id);
    if (!image) {
      const item = await store.getItem(id);
      image = item && toImage(item);
      if (image && image.userId === request.userId) await cache.put(image);
    }
    owned(image, request.userId);
    reply.header("ETag", `"${image.version}"`).header("Cache-Control", "private, no-cache");
    const ifNoneMatch = request.headers["if-none-match"];
    if (ifNoneMatch && tagsOf(ifNoneMatch).includes(String(image.version))) {
      return reply.code(304).send();
    }
    return image;
  },
);

app.get(
  "/images",
  {
    schema: {
      querystring: {
        type: "object",
        additionalProperties: false,
        properties: {
          limit: { type: "integer", minimum: 1, maximum: 100, default: 20 },
          cursor: { type: "string" },
          sortOrder: { type: "string", enum: ["asc", "desc"], default: "desc" },
        },
      },
      response: { 200: pageSchema },
    },
  },
  async function listImages(request, reply) {
    const { limit, cursor, sortOrder } = request.query;
    const { userId } = request;
    const start = cursor && startKey(userId, cursor, sortOrder);
    const descending = sortOrder === "desc";
    const [items, totalCount] = await Promise.all([
      store.listItems(userId, { limit, start, descending }),
      store.countImages(userId),
    ]);
    const hasMore = items.length > limit;
    const shown = hasMore ? items.slice(0, limit) : items;
    const nextCursor = hasMore ? encodeCursor(userId, shown.at(-1), sortOrder) : null;
    reply.header("Cache-Control", "private, no-cache");
    return { images: shown.map(toImage), pagination: { limit, hasMore, nextCursor }, totalCount };
  },
);

const checked = (userId, place, order) =>
  createHash("sha256").update(`${userId}|${order}|${place}`).digest().subarray(0, 8);

function encodeCursor(userId, item, order) {
  const place = uploadedKey(item);
  return Buffer.concat([checked(userId, place, order), Buffer.from(place)]).toString("base64url");
}

function startKey(userId, cursor, order) {
  const raw = Buffer.from(cursor, "base64url");
  const place = raw.subarray(8).toString();
  if (!checked(userId, place, order).equals(raw.subarray(0, 8))) {
    throw invalid("INVALID_CURSOR", "Begin again without a cursor.");
  }
  return {
    PK: { S: `IMAGE#${place.split("#")[2]}` },
    SK: { S: "METADATA" },
    GSI1PK: { S: `USER#${userId}` },
    GSI1SK: { S: place },
  };
}

const editable = (maxLength) => ({ type: "string", nullable: true, maxLength });

app.patch(
  "/images/:id",
  {
    schema: {
      body: {
        type: "object",
        additionalProperties: false,
        properties: {
          title: editable(255),
          description: editable(5000),
          altText: editable(255),
          version: { type: "integer", minimum: 1 },
        },
      },
      response: { 200: imageSchema },
    },
  },
  async function editImage(request, reply) {
    const { version, ...changes } = request.body;
    const item = await stored(request);
    if (version === undefined && !request.headers["if-match"]) throw versionRequired();
    checkVersion(request, item.version, version);
    const edited = await store.updateItem(item, changes);
    await cache.drop(item.id);
    reply.header("ETag", `"${edited.version}"`);
    return toImage(edited);
  },
);

app.delete("/images/:id", async function deleteImage(request, reply) {
  const item = await stored(request);
  checkVersion(request, item.version);
  const entry = await store.markDeleted(item);
  await cache.drop(item.id);
  await store.finishDeletion(item, entry);
  return reply.code(204).send();
});

app.post(
  "/images",
  { schema: { response: { 201: imageSchema } } },
  async function uploadImage(request, reply) {
    const { file, fields } = await readForm(request);
    const source = await inspect(file.data);
    file.checksum = checksum(file.data);
    const { userId } = request;
    const at = new Date();
    const id = ulid(at.getTime());
    const [outputs] = await Promise.all([
      makePictures(file.data, source),
      store.announce(id, userId, at),
    ]);
    const item = newItem({ id, userId, at, source, file, outputs, fields });
    const keys = objectKeys(userId, id);
    await Promise.all([
      store.putObject(keys.main, outputs.main.data),
      store.putObject(keys.thumbnail, outputs.thumbnail.data),
    ]);
    await store.commit(item, at);
    reply.code(201).header("Location", `/images/${id}`).header("ETag", '"1"');
    return toImage(item);
  },
);

async function readForm(request) {
  let file = null;
  const fields = { tags: [] };
  for await (const part of request.parts()) {
    if (part.type === "file") {
      file = { filename: part.filename, data: await part.toBuffer() };
    } else if (part.fieldname === "tags") fields.tags.push(part.value);
    else if (part.value) fields[part.fieldname] = part.value;
  }
  if (!file) throw invalid("FILE_REQUIRED", "Send a file.");
  return { file, fields };
}

await app.listen({ host: "127.0.0.1", port: config.port });
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, async () => {
    await app.close();
    process.exit(0);
  });
}
