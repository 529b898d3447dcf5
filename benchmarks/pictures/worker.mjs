// The rival: as many pipelines of sharp as there are files to make of a picture.
// node worker.mjs clones|pipelines CONCURRENCY; answers each line of JSON with one (see worker.py).
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import sharp from "sharp";

const [, , way, concurrency] = process.argv;
if (Number(concurrency) > 0) sharp.concurrency(Number(concurrency));
sharp.cache(false);

const RESIZE = {
  inside: (side) => ({ width: side, height: side, fit: "inside", withoutEnlargement: true }),
  cover: (side) => ({ width: side, height: side, fit: "cover" }),
  width: (side) => ({ width: side, withoutEnlargement: true }),
};
const file = (pipeline, { fit, side, quality, effort }) =>
  pipeline.resize(RESIZE[fit](side)).webp({ quality, effort }).toBuffer();

const WAYS = {
  // One stream, and a clone of it for each size: https://sharp.pixelplumbing.com/api-constructor#clone
  clones(data, outputs) {
    const stream = sharp().rotate();
    const made = outputs.map((output) => file(stream.clone(), output));
    stream.end(data);
    return Promise.all(made);
  },
  // As the original design has it: a pipeline a size, from the same buffer.
  pipelines: (data, outputs) => Promise.all(outputs.map((each) => file(sharp(data).rotate(), each))),
};
const pictures = WAYS[way];

async function one({ file, outputs, save }) {
  const data = readFileSync(file);
  const wall = process.hrtime.bigint(), cpu = process.cpuUsage();
  const made = await pictures(data, outputs);
  const used = process.cpuUsage(cpu);
  const answer = {
    cpu_ms: (used.user + used.system) / 1e3,
    wall_ms: Number(process.hrtime.bigint() - wall) / 1e6,
    bytes: Object.fromEntries(outputs.map(({ name }, at) => [name, made[at].length])),
  };
  if (save) outputs.forEach(({ name }, at) => writeFileSync(`${save}.${name}.webp`, made[at]));
  return answer;
}

async function throughput({ files, seconds, parallel }) {
  const all = files.map(({ file, outputs }) => [readFileSync(file), outputs]);
  const start = Date.now();
  let taken = 0, done = 0;
  const client = async () => {
    // Whole rounds of the corpus only, so that every engine does the same work.
    while (taken % all.length || Date.now() - start < seconds * 1e3) {
      await pictures(...all[taken++ % all.length]);
      done++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, client));
  return { per_second: done / ((Date.now() - start) / 1e3) };
}

const about = () => ({
  versions: { node: process.versions.node, sharp: sharp.versions.sharp, libvips: sharp.versions.vips,
    libwebp: sharp.versions.webp },
  threads: sharp.concurrency(),
  peak_rss_mib: process.resourceUsage().maxRSS / 1024,
});

const tasks = { one, throughput, about };
for await (const line of createInterface({ input: process.stdin })) {
  const { task, ...rest } = JSON.parse(line);
  console.log(JSON.stringify(await tasks[task](rest)));
}
