// Files that a page gets after its first picture: each once a page, whatever number of boards is on it.

import type * as Canvases from "./canvases";
import type { FileName } from "./messages";

/** The file's bytes, from wherever the host has them; an empty buffer when there is no such file. */
export type Fetch = (name: FileName) => Promise<ArrayBuffer>;

export const LIMIT_MS = 5000;

const addresses = new Map<FileName, Promise<string>>();

/** Where the file can be loaded from in this page; asked for again when it has not come in five seconds. */
export function addressOf(name: FileName, fetch: Fetch): Promise<string> {
  const known = addresses.get(name);
  if (known) return known;
  const address = late(fetch(name), name).then((bytes) => {
    if (!bytes.byteLength) throw new Error(`there is no ${name}`);
    return URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  });
  address.catch(() => addresses.delete(name));
  addresses.set(name, address);
  return address;
}

/** The promise, rejected when it has not been kept in five seconds. */
export function late<T>(promise: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${what} within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** What draws on canvases, loaded into the page; rejected when it has not come in five seconds. */
export async function canvases(fetch: Fetch): Promise<typeof Canvases> {
  return (await import(/* @vite-ignore */ await addressOf("canvas.js", fetch))) as typeof Canvases;
}
