// The rival, as the original design has it: two pipelines from the same buffer.
// node worker.mjs EFFORT CONCURRENCY; answers each line of JSON with one (see worker.py).
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import sharp from "sharp";

const [effort, concurrency] = process.argv.slice(2).map(Number);
if (concurrency > 0) sharp.concurrency(concurrency);
sharp.cache(false);

const pictures = (data) => Promise.all([
  sharp(data).rotate()
    .resize(2048, 2048, { fit: "inside", withoutEnlargement: true })
    .webp({ quality: 85, effort }).toBuffer(),
  sharp(data).rotate()
    .resize(400, 400, { fit: "cover" })
    .webp({ quality: 80, effort }).toBuffer(),
]);

async function one({ file, save }) {
  const data = readFileSync(file);
  const wall = process.hrtime.bigint(), cpu = process.cpuUsage();
  const [main, thumbnail] = await pictures(data);
  const used = process.cpuUsage(cpu);
  const answer = {
    cpu_ms: (used.user + used.system) / 1e3,
    wall_ms: Number(process.hrtime.bigint() - wall) / 1e6,
    main_bytes: main.length,
    thumbnail_bytes: thumbnail.length,
  };
  if (save) {
    writeFileSync(`${save}.main.webp`, main);
    writeFileSync(`${save}.thumbnail.webp`, thumbnail);
  }
  return answer;
}

async function throughput({ files, seconds, parallel }) {
  const all = files.map((file) => readFileSync(file));
  const start = Date.now();
  let taken = 0, done = 0;
  const client = async () => {
    // Whole rounds of the corpus only, so that every engine does the same work.
    while (taken % all.length || Date.now() - start < seconds * 1e3) {
      await pictures(all[taken++ % all.length]);
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
