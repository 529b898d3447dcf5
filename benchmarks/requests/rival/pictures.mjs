// sharp, as the original design uses it: two pipelines from the same buffer.
import { createHash } from "node:crypto";
import sharp from "sharp";
import { config } from "./config.mjs";
import { invalid } from "./errors.mjs";

const FORMATS = new Set(["jpeg", "png", "webp"]);

export async function inspect(data) {
  let source;
  try {
    source = await sharp(data).metadata();
  } catch {
    throw invalid("INVALID_IMAGE", "The file can't be read as a picture.");
  }
  if (!FORMATS.has(source.format)) {
    throw invalid("INVALID_FILE_TYPE", "Only JPEG, PNG and WebP images are supported");
  }
  if ((source.pages ?? 1) > 1) throw invalid("ANIMATED_IMAGE", "Animated images are not taken.");
  const turned = (source.orientation ?? 1) >= 5;
  const [width, height] = turned ? [source.height, source.width] : [source.width, source.height];
  if (Math.min(width, height) < 100 || Math.max(width, height) > 8000) {
    throw invalid("INVALID_DIMENSIONS", `The picture measures ${width} x ${height}.`);
  }
  return { format: source.format, width, height };
}

export async function process(data, source) {
  const side = Math.min(400, source.width, source.height);
  const { effort } = config;
  const [main, thumbnail] = await Promise.all([
    sharp(data)
      .rotate()
      .resize(2048, 2048, { fit: "inside", withoutEnlargement: true })
      .webp({ quality: 85, effort })
      .toBuffer({ resolveWithObject: true }),
    sharp(data)
      .rotate()
      .resize(side, side, { fit: "cover" })
      .webp({ quality: 80, effort })
      .toBuffer({ resolveWithObject: true }),
  ]);
  return { main, thumbnail };
}

export const checksum = (data) => createHash("sha256").update(data).digest("hex");
