// From an upload to its deletion: IMAGES_URL=… IMAGES_TOKEN=… node build/tour.js photo.jpg

import { readFile } from "node:fs/promises";

import { allImages, edit, remove, upload, usage } from "./image_client.js";
import { tile } from "./picture.js";

const { IMAGES_URL: url, IMAGES_TOKEN: given } = process.env;
const [, , path] = process.argv;
if (!url || !given || !path) throw new Error("set IMAGES_URL and IMAGES_TOKEN, name a photo");
// The same token always; whoever works for longer than an hour asks Cognito here.
const service = { url, token: async () => given };

const photo = new File([await readFile(path)], "photo.jpg");
const texts = { title: "Castle gate", altText: 'A "gate" & towers' };
const image = await upload(service, photo, { ...texts, albumId: "castle" });
console.log("stored", image.id);

const picture = await fetch(image.imageUrl); // from the CDN: no token
const bytes = (await picture.arrayBuffer()).byteLength;
console.log("picture", picture.headers.get("Content-Type"), bytes);
console.log("tile", tile(image));

for await (const found of allImages(service, { albumId: "castle", limit: 2 })) {
  console.log("listed", found.id);
}

const edited = await edit(service, image.id, (now) => ({ tags: [...now.tags, "night"] }));
console.log("version", edited.version, ...edited.tags);

console.log("images", (await usage(service)).imageCount);
await remove(service, image.id);
console.log("images", (await usage(service)).imageCount);
