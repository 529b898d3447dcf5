// The table and the bucket: the same items and the same calls as the service makes.
import {
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { DeleteObjectsCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import { randomUUID } from "node:crypto";
import { ulid } from "ulid";
import { config } from "./config.mjs";
import { notFound, versionMismatch } from "./errors.mjs";
import { objectKeys, uploadedKey } from "./images.mjs";

const common = { region: config.region, endpoint: config.endpoint, maxAttempts: 3 };
const dynamodb = new DynamoDBClient(common);
const s3 = new S3Client({ ...common, forcePathStyle: true });

const TableName = config.table;
const OPTIONS = { removeUndefinedValues: true };
const OUTBOX_DELAY_MS = 30_000;
const STILL = "version = :was AND userId = :owner AND attribute_not_exists(deletedAt)";

const wire = (value) => marshall(value, OPTIONS);
const imageKey = (id) => ({ PK: { S: `IMAGE#${id}` }, SK: { S: "METADATA" } });
const tagKey = (tag) => tag.normalize("NFC").toLowerCase().normalize("NFC");

export async function getItem(id) {
  const { Item } = await dynamodb.send(
    new GetItemCommand({ TableName, Key: imageKey(id), ConsistentRead: true }),
  );
  if (!Item || Item.deletedAt) return null;
  return unmarshall(Item);
}

export async function listItems(userId, { limit, start, descending }) {
  const { Items } = await dynamodb.send(
    new QueryCommand({
      TableName,
      IndexName: "UserIndex",
      KeyConditionExpression: "GSI1PK = :partition AND GSI1SK BETWEEN :lower AND :upper",
      ExpressionAttributeValues: {
        ":partition": { S: `USER#${userId}` },
        ":lower": { S: "UPLOADED#" },
        ":upper": { S: "UPLOADED$" },
      },
      ScanIndexForward: !descending,
      Limit: limit + 1,
      ...(start && { ExclusiveStartKey: start }),
    }),
  );
  return Items.map((item) => unmarshall(item));
}

export async function countImages(userId) {
  const { Item } = await dynamodb.send(
    new GetItemCommand({
      TableName,
      Key: { PK: { S: `USER#${userId}` }, SK: { S: "USAGE" } },
      ConsistentRead: true,
    }),
  );
  return Item ? Number(Item.imageCount?.N ?? 0) : 0;
}

export async function updateItem(before, changes) {
  const set = { ...changes, updatedAt: new Date().toISOString(), version: before.version + 1 };
  const cleared = Object.keys(set).filter((name) => set[name] === null);
  const kept = Object.keys(set).filter((name) => set[name] !== null);
  const clauses = [`SET ${kept.map((name) => `#${name} = :${name}`).join(", ")}`];
  if (cleared.length) clauses.push(`REMOVE ${cleared.map((name) => `#${name}`).join(", ")}`);
  const values = Object.fromEntries(kept.map((name) => [`:${name}`, set[name]]));
  await transact(before, [
    {
      Update: {
        TableName,
        Key: imageKey(before.id),
        UpdateExpression: clauses.join(" "),
        ConditionExpression: STILL,
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        ExpressionAttributeNames: Object.fromEntries(
          Object.keys(set).map((name) => [`#${name}`, name]),
        ),
        ExpressionAttributeValues: wire({
          ...values,
          ":was": before.version,
          ":owner": before.userId,
        }),
      },
    },
  ]);
  return { ...before, ...set };
}

export async function markDeleted(item) {
  const now = Date.now();
  const entry = outboxEntry(item, "objects", now + OUTBOX_DELAY_MS);
  await transact(item, [
    {
      Update: {
        TableName,
        Key: imageKey(item.id),
        UpdateExpression: "SET deletedAt = :at REMOVE GSI1PK, GSI1SK, GSI2PK, GSI2SK",
        ConditionExpression: STILL,
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        ExpressionAttributeValues: wire({
          ":at": new Date(now).toISOString(),
          ":was": item.version,
          ":owner": item.userId,
        }),
      },
    },
    { Put: { TableName, Item: wire(entry) } },
    ...usage(item, -1),
    ...item.tags.map((tag) => ({ Delete: { TableName, Key: pointerKey(item, tag) } })),
  ]);
  return entry;
}

// The files are gone: what is left is the edges', and a worker's.
export async function finishDeletion(item, entry) {
  const keys = Object.values(item.renditions).map((rendition) => ({ Key: rendition.key }));
  await s3.send(
    new DeleteObjectsCommand({ Bucket: config.bucket, Delete: { Objects: keys, Quiet: true } }),
  );
  await transact(item, [
    {
      Delete: {
        TableName,
        Key: wire({ PK: entry.PK, SK: entry.SK }),
        ConditionExpression: "attribute_exists(PK) AND attribute_not_exists(leaseOwner)",
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
      },
    },
    { Put: { TableName, Item: wire(outboxEntry(item, "edges", Date.now())) } },
  ]);
}

export const intentKey = (id, at) => ({
  PK: `INTENT#${shard(id)}`,
  SK: `${at.toISOString()}#${id}`,
});

export async function announce(id, userId, at) {
  await dynamodb.send(
    new PutItemCommand({
      TableName,
      Item: wire({
        ...intentKey(id, at),
        type: "intent",
        schemaVersion: 1,
        imageId: id,
        userId,
        objectKeys: Object.values(objectKeys(userId, id)),
        createdAt: at.toISOString(),
      }),
      ConditionExpression: "attribute_not_exists(withdrawnAt)",
    }),
  );
}

export async function putObject(Key, Body) {
  await s3.send(
    new PutObjectCommand({
      Bucket: config.bucket,
      Key,
      Body,
      ContentType: "image/webp",
      CacheControl: "public, max-age=86400, immutable",
      ServerSideEncryption: "AES256",
      StorageClass: "INTELLIGENT_TIERING",
    }),
  );
}

export async function commit(item, at) {
  await transact(item, [
    { Put: { TableName, Item: wire(item), ConditionExpression: "attribute_not_exists(PK)" } },
    {
      Delete: {
        TableName,
        Key: wire(intentKey(item.id, at)),
        ConditionExpression: "attribute_exists(PK) AND attribute_not_exists(withdrawnAt)",
      },
    },
    ...usage(item, 1),
    ...item.tags.map((tag) => ({ Put: { TableName, Item: pointer(item, tag) } })),
  ]);
}

async function transact(item, TransactItems) {
  try {
    await dynamodb.send(
      new TransactWriteItemsCommand({ TransactItems, ClientRequestToken: randomUUID() }),
    );
  } catch (error) {
    const old = error.CancellationReasons?.[0];
    if (old?.Code !== "ConditionalCheckFailed") throw error;
    const now = old.Item && unmarshall(old.Item);
    if (!now || now.deletedAt || now.userId !== item.userId) throw notFound();
    throw versionMismatch(409, now.version);
  }
}

function usage(item, sign) {
  const bytes = Object.values(item.renditions).reduce((sum, { bytes }) => sum + bytes, 0);
  const update = (SK, condition) => ({
    Update: {
      TableName,
      Key: { PK: { S: `USER#${item.userId}` }, SK: { S: SK } },
      UpdateExpression:
        "SET #type = :type, schemaVersion = :schema ADD imageCount :images, totalBytes :bytes",
      ExpressionAttributeNames: { "#type": "type" },
      ExpressionAttributeValues: {
        ":type": { S: "usage" },
        ":schema": { N: "1" },
        ":images": { N: String(sign) },
        ":bytes": { N: String(sign * bytes) },
        ...(condition && { ":leaving": { N: "1" } }),
      },
      ...(condition && { ConditionExpression: condition }),
    },
  });
  const updates = [update("USAGE")];
  if (item.albumId) {
    updates.push(update(`USAGE#ALBUM#${item.albumId}`, sign < 0 ? "imageCount > :leaving" : null));
  }
  return updates;
}

const pointerKey = (item, tag) =>
  wire({ PK: `TAG#${item.userId}#${tagKey(tag)}`, SK: uploadedKey(item) });

const pointer = (item, tag) => ({
  ...pointerKey(item, tag),
  ...wire({ type: "tag", schemaVersion: 1, id: item.id, tags: item.tags, albumId: item.albumId }),
});

function outboxEntry(item, step, dueAt) {
  return {
    PK: `OUTBOX#${shard(item.id)}`,
    SK: `${new Date(dueAt).toISOString()}#${ulid()}`,
    type: "outbox",
    schemaVersion: 1,
    tries: 0,
    task: "clear",
    step,
    images: [
      {
        id: item.id,
        userId: item.userId,
        objectKeys: Object.values(item.renditions).map((rendition) => rendition.key),
      },
    ],
  };
}

function shard(id) {
  let sum = 0;
  for (let i = 0; i < id.length; i += 1) sum += id.charCodeAt(i);
  return sum % 4;
}
