// An image as HTML. Needs the package thumbhash, for placeholders.

import { thumbHashToDataURL } from "thumbhash";

import type { Image } from "./image_client.js";

/**
 * A square tile of a gallery; the browser takes the file that fits its screen, and shows a blurred
 * likeness until it is there. The thumbnail is a square crop, the main picture is the whole:
 * `object-fit` crops it alike.
 */
export function tile(image: Image, side = 200): string {
  const srcset =
    `${image.thumbnailUrl} ${image.thumbnailWidth}w, ${image.imageUrl} ${image.width}w`;
  const style = `object-fit: cover; background: center / cover url(${blurred(image)})`;
  return (
    `<img src="${image.thumbnailUrl}" srcset="${srcset}" sizes="${side}px" ` +
    `width="${side}" height="${side}" alt="${escaped(image.altText ?? "")}" loading="lazy" ` +
    `style="${style}">`
  );
}

/**
 * The whole picture, in the space it will take, so that nothing moves when it arrives. `sizes` is
 * how wide the page shows it: here in three columns, on small screens in one.
 */
export function whole(image: Image, sizes = "(min-width: 1024px) 33vw, 100vw"): string {
  const style = `max-width: 100%; height: auto; background: center / cover url(${blurred(image)})`;
  return (
    `<img src="${image.imageUrl}" srcset="${image.srcset}" sizes="${sizes}" ` +
    `width="${image.width}" height="${image.height}" ` +
    `alt="${escaped(image.altText ?? "")}" style="${style}">`
  );
}

/** The square thumbnail on narrow screens, the whole picture on others. */
export function cover(image: Image): string {
  return (
    `<picture><source media="(max-width: 400px)" srcset="${image.thumbnailUrl}" ` +
    `width="${image.thumbnailWidth}" height="${image.thumbnailHeight}">` +
    `${whole(image, "100vw")}</picture>`
  );
}

/** The placeholder as a data: URL of a small PNG. */
export function blurred(image: Image): string {
  const hash = Uint8Array.from(atob(image.placeholder), (byte) => byte.charCodeAt(0));
  return thumbHashToDataURL(hash);
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
