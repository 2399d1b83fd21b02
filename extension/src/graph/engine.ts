// Runs Graphviz where it cannot hold up the page: in a worker thread that is ended when it takes too long.

import { addressOf, late, type Fetch } from "../files";

interface OnMain {
  layout(dot: string): Promise<string>;
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
    const url = await addressOf("graphviz.js", this.fetch);
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
    return late(answer, "layout").catch((error: unknown) => {
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
