import { readFile } from "node:fs/promises";

const form = new FormData();
form.set("file", new File([await readFile("photo.jpg")], "photo.jpg")); // or input.files[0]
form.set("title", "Castle gate");
for (const tag of ["castle", "medieval"]) form.append("tags", tag);

const response = await fetch(`${process.env.IMAGES_URL}/images`, {
  method: "POST",
  headers: {
    Authorization: `Bearer ${process.env.IMAGES_TOKEN}`,
    "Idempotency-Key": crypto.randomUUID(), // the same one with every try of this picture
  },
  body: form, // no Content-Type: fetch sets it, with the boundary
});
const image = await response.json();
if (!response.ok) throw new Error(`${image.code}: ${image.message}`);
console.log(image.imageUrl);
