// Runs Graphviz where it cannot hold up the page: in a worker thread that is ended when it takes too long.

/** The file's bytes, from wherever the host has them; an empty buffer when there is no such file. */
export type Fetch = (name: "graphviz.js") => Promise<ArrayBuffer>;

const LIMIT_MS = 5000;

interface OnMain {
  layout(dot: string): Promise<string>;
}

// Once a page, whatever number of boards is on it: 0.8 MB that never change.
let address: Promise<string> | null = null;

function addressOf(fetch: Fetch): Promise<string> {
  address ??= late(fetch("graphviz.js"), LIMIT_MS).then((bytes) => {
    if (!bytes.byteLength) throw new Error("there is no graphviz.js");
    return URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  });
  address.catch(() => (address = null));
  return address;
}

export class Engine {
  private worker: Worker | null = null;
  private forbidden = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly fetch: Fetch) {}

  /** The layout in the format `plain`; rejected when it is not there in five seconds. One at a time. */
  plain(dot: string): Promise<string> {
    const turn = this.queue.then(() => this.one(dot));
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  private async one(dot: string): Promise<string> {
    const url = await addressOf(this.fetch);
    if (!this.forbidden) {
      try {
        return await this.inWorker(url, dot);
      } catch (error) {
        if (!(error instanceof Forbidden)) throw error;
        this.forbidden = true; // by the page's policy; the next graphs need not try again
      }
    }
    const main = (await import(/* @vite-ignore */ url)) as OnMain;
    return await main.layout(dot);
  }

  private inWorker(url: string, dot: string): Promise<string> {
    const worker = (this.worker ??= made(url));
    const answer = new Promise<string>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<{ plain?: string; error?: string }>) =>
        data.plain === undefined ? reject(new Error(data.error)) : resolve(data.plain);
      worker.onerror = () => reject(new Forbidden());
      worker.postMessage(dot);
    });
    return late(answer, LIMIT_MS).catch((error: unknown) => {
      this.dispose();
      throw error;
    });
  }

  /** Ends the thread; the next layout begins another. */
  dispose(): void {
    this.worker?.terminate();
    this.worker = null;
  }
}

class Forbidden extends Error {}

function made(url: string): Worker {
  try {
    return new Worker(url, { type: "module" });
  } catch {
    throw new Forbidden();
  }
}

function late<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no layout within ${ms / 1000} s`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
