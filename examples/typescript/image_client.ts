// A client of the image service to copy and change. Runs in browsers and in Node 20, without
// libraries. api.d.ts is made by openapi-typescript from docs/openapi.json.

// region: connect
import type { components, operations } from "./api.js";

type Schemas = components["schemas"];
export type Image = Schemas["Image"];
export type Changes = Omit<Schemas["ImageChanges"], "version">;
export type Fields = Omit<Schemas["ImageUpload"], "file">;
export type Filters = Omit<
  NonNullable<operations["list_images"]["parameters"]["query"]>,
  "cursor"
>;

const ATTEMPTS = 6;

export interface Service {
  url: string;
  /** A token that is still good. `renew`: another one, for the last has expired. */
  token: (renew: boolean) => Promise<string>;
}

/** A response other than success: decide by `code`, report `requestId`. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: Schemas["Error"]["code"] | undefined,
    readonly requestId: string | null,
    message: string | undefined,
  ) {
    super(`${status} ${code}: ${message} (${requestId})`);
  }
}

/** The error's JSON; empty for a success, or if a proxy answered instead of the service. */
async function errorOf(response: Response): Promise<Partial<Schemas["Error"]>> {
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  return !response.ok && isJson ? await response.clone().json() : {};
}

async function accepted(response: Response): Promise<Response> {
  if (response.ok) return response;
  const { code, message } = await errorOf(response);
  throw new Refused(response.status, code, response.headers.get("X-Request-ID"), message);
}
// endregion

// region: send
/** Repeats the request while it may still help, and returns the last response. */
async function send(
  service: Service,
  path: string,
  request: RequestInit = {},
  seconds = 40,
): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    let asked = 0;
    try {
      const response = await signed(service, path, request, seconds);
      if (attempt === ATTEMPTS || !(await isPassing(response))) return response;
      asked = Number(response.headers.get("Retry-After")) || 0;
    } catch (lost) { // no connection, a timeout, or the response got lost
      if (attempt === ATTEMPTS) throw lost;
    }
    // At least what the service asks for; the random part keeps clients from coming back
    // all at once, and grows from try to try.
    const jitter = Math.random() * Math.min(10, 2 ** attempt / 4);
    await new Promise((resolve) => setTimeout(resolve, 1000 * (asked + jitter)));
  }
}

async function signed(
  service: Service,
  path: string,
  request: RequestInit,
  seconds: number,
): Promise<Response> {
  const ask = async (renew: boolean): Promise<Response> => {
    const headers = new Headers(request.headers);
    headers.set("Authorization", `Bearer ${await service.token(renew)}`);
    const signal = AbortSignal.timeout(1000 * seconds);
    return fetch(service.url + path, { ...request, headers, signal });
  };
  const response = await ask(false);
  return (await errorOf(response)).code === "TOKEN_EXPIRED" ? ask(true) : response;
}

async function isPassing(response: Response): Promise<boolean> {
  // 502 and 504 come from a load balancer. 409 has another meaning, too, that stays.
  if ([408, 429, 502, 503, 504].includes(response.status)) return true;
  return (await errorOf(response)).code === "IDEMPOTENCY_IN_PROGRESS";
}
// endregion

// region: upload
/** Stores the photo once, however often it has to be sent. */
export async function upload(
  service: Service,
  photo: File,
  fields: Fields = {},
  key: string = crypto.randomUUID(),
): Promise<Image> {
  const { tags = [], ...texts } = fields;
  const form = new FormData();
  form.set("file", photo);
  for (const [name, text] of Object.entries(texts)) form.set(name, text);
  for (const tag of tags) form.append("tags", tag);
  // One key a picture, made before the first try. Keep it with the job where you have a queue.
  // No Content-Type: fetch sets it, with the boundary of the form.
  const headers = { "Idempotency-Key": key };
  // A slow line may take 300 s for it, and the response is there 30 s later.
  const response = await send(service, "/images", { method: "POST", body: form, headers }, 340);
  return (await accepted(response)).json();
}
// endregion

// region: pages
/** Newest first, page by page as they are asked for. The filters stay the same throughout. */
export async function* allImages(service: Service, filters: Filters = {}): AsyncGenerator<Image> {
  const { tag = [], ...others } = filters;
  const query = new URLSearchParams({ limit: "100" });
  for (const [name, value] of Object.entries(others)) query.set(name, String(value));
  for (const each of tag) query.append("tag", each);
  for (let cursor: string | null = ""; cursor !== null; ) {
    query.set("cursor", cursor);
    const response = await accepted(await send(service, `/images?${query}`));
    const page: Schemas["ImagePage"] = await response.json();
    yield* page.images;
    cursor = page.pagination.nextCursor;
  }
}
// endregion

// region: edit
/** `change` gets the image as it is now and returns the fields to set. */
export async function edit(
  service: Service,
  id: string,
  change: (now: Image) => Changes,
): Promise<Image> {
  for (let attempt = 1; ; attempt++) {
    const read = await accepted(await send(service, `/images/${id}`));
    const response = await send(service, `/images/${id}`, {
      method: "PATCH",
      headers: {
        "Content-Type": "application/json",
        "If-Match": read.headers.get("ETag") ?? "",
      },
      body: JSON.stringify(change(await read.json())),
    });
    const isStale = (await errorOf(response)).code === "VERSION_MISMATCH";
    if (!isStale || attempt === ATTEMPTS) return (await accepted(response)).json();
  }
}
// endregion

// region: delete
export async function remove(service: Service, id: string): Promise<void> {
  const response = await send(service, `/images/${id}`, { method: "DELETE" });
  // It may have been deleted by an earlier try whose response was lost.
  if ((await errorOf(response)).code !== "IMAGE_NOT_FOUND") await accepted(response);
}
// endregion

// region: usage
/** `imageCount`, `totalBytes`; with `?by=album` in the path also those of each album. */
export async function usage(service: Service): Promise<Schemas["Usage"]> {
  return (await accepted(await send(service, "/usage"))).json();
}
// endregion
