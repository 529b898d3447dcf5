// An image: its item in the table, its JSON, and the schema by which Fastify writes it.
import { config } from "./config.mjs";

const text = { type: "string" };
const integer = { type: "integer" };
const nullable = { type: "string", nullable: true };

const rendition = {
  type: "object",
  properties: { name: text, url: text, width: integer, height: integer, bytes: integer, mimeType: text },
};

const properties = {
  id: text,
  userId: text,
  albumId: nullable,
  originalFilename: nullable,
  originalMimeType: text,
  mimeType: text,
  fileSize: integer,
  processedSize: integer,
  width: integer,
  height: integer,
  originalWidth: integer,
  originalHeight: integer,
  aspectRatio: { type: "number" },
  s3Key: text,
  thumbnailKey: text,
  imageUrl: text,
  thumbnailUrl: text,
  thumbnailWidth: integer,
  thumbnailHeight: integer,
  renditions: { type: "array", items: rendition },
  srcset: text,
  placeholder: nullable,
  dominantColor: nullable,
  processingStatus: text,
  format: text,
  quality: integer,
  checksum: text,
  title: nullable,
  description: nullable,
  altText: nullable,
  tags: { type: "array", items: text },
  createdAt: text,
  updatedAt: text,
  uploadedAt: text,
  version: integer,
};
export const imageSchema = { type: "object", properties };
export const pageSchema = {
  type: "object",
  properties: {
    images: { type: "array", items: imageSchema },
    pagination: {
      type: "object",
      properties: { limit: integer, hasMore: { type: "boolean" }, nextCursor: nullable },
    },
    totalCount: { type: "integer", nullable: true },
  },
};

const url = (key) => `${config.cdn}/${key.split("/").map(encodeURIComponent).join("/")}`;

export function toImage(item) {
  const { main, thumbnail } = item.renditions;
  const mimeType = `image/${item.format}`;
  return {
    id: item.id,
    userId: item.userId,
    albumId: item.albumId ?? null,
    originalFilename: item.originalFilename ?? null,
    originalMimeType: item.originalMimeType,
    mimeType,
    fileSize: item.fileSize,
    processedSize: main.bytes,
    width: main.width,
    height: main.height,
    originalWidth: item.originalWidth,
    originalHeight: item.originalHeight,
    aspectRatio: Math.round((main.width / main.height) * 1000) / 1000,
    s3Key: main.key,
    thumbnailKey: thumbnail.key,
    imageUrl: url(main.key),
    thumbnailUrl: url(thumbnail.key),
    thumbnailWidth: thumbnail.width,
    thumbnailHeight: thumbnail.height,
    renditions: [
      { name: "main", url: url(main.key), width: main.width, height: main.height, bytes: main.bytes, mimeType },
    ],
    srcset: `${url(main.key)} ${main.width}w`,
    placeholder: item.placeholder ?? null,
    dominantColor: item.dominantColor ?? null,
    processingStatus: "completed",
    format: item.format,
    quality: item.quality,
    checksum: item.checksum,
    title: item.title ?? null,
    description: item.description ?? null,
    altText: item.altText ?? null,
    tags: item.tags,
    createdAt: item.createdAt,
    updatedAt: item.updatedAt,
    uploadedAt: item.uploadedAt,
    version: item.version,
  };
}

export const uploadedKey = (item) => `UPLOADED#${item.uploadedAt}#${item.id}`;
export const objectKeys = (userId, id) => ({
  main: `images/${userId}/${id}.webp`,
  thumbnail: `images/${userId}/thumbnails/${id}.webp`,
});

export function newItem({ id, userId, at, source, file, outputs, fields }) {
  const uploadedAt = at.toISOString();
  const place = `UPLOADED#${uploadedAt}#${id}`;
  const keys = objectKeys(userId, id);
  const rendition = (name) => ({
    key: keys[name],
    width: outputs[name].info.width,
    height: outputs[name].info.height,
    bytes: outputs[name].info.size,
  });
  return {
    PK: `IMAGE#${id}`,
    SK: "METADATA",
    type: "image",
    schemaVersion: 1,
    GSI1PK: `USER#${userId}`,
    GSI1SK: place,
    ...(fields.albumId && { GSI2PK: `ALBUM#${userId}#${fields.albumId}`, GSI2SK: place }),
    id,
    userId,
    albumId: fields.albumId,
    originalFilename: file.filename,
    originalMimeType: `image/${source.format}`,
    originalWidth: source.width,
    originalHeight: source.height,
    fileSize: file.data.length,
    checksum: file.checksum,
    ownerChecksum: `${userId}#${file.checksum}`,
    renditions: { main: rendition("main"), thumbnail: rendition("thumbnail") },
    format: "webp",
    quality: 85,
    title: fields.title,
    description: fields.description,
    altText: fields.altText,
    tags: fields.tags,
    uploadedAt,
    createdAt: uploadedAt,
    updatedAt: uploadedAt,
    version: 1,
  };
}
