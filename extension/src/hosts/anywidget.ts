// The board as a widget: what anywidget imports. Its model's custom messages carry everything.

import type { Host } from "../host";
import type { Asked, FileName, Told } from "../messages";
import type { Bytes } from "../run/columns";
import { createView } from "../view";

/** As much of anywidget's model as is used. */
export interface Model {
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  on(event: "msg:custom", tell: (message: Told, buffers: DataView[]) => void): void;
  off(event: "msg:custom", tell: (message: Told, buffers: DataView[]) => void): void;
}

/** A model's comm is not open yet while its view is rendered. */
const READY_MS = 300;

type Offers = Record<string, Record<string, Record<string, never>>>;

/** What JupyterLab's extension offers a page (lab/index.ts); nothing where it is not. Quoted, to keep its names. */
const offered = <F>(name: string) => (globalThis as unknown as Offers)["_JUPYTERLAB"]?.["elfbook"]?.[name] as F | undefined;

export function hostOf(model: Model): Host {
  const send = (message: Asked) => model.send(message);
  const endings = new Set<() => void>();
  const onMessage = (tell: (message: Told, buffers: readonly Bytes[]) => void) => {
    const heard = (message: Told, buffers: DataView[]) => tell(message, buffers ?? []);
    const end = () => {
      endings.delete(end);
      model.off("msg:custom", heard);
    };
    endings.add(end);
    model.on("msg:custom", heard);
    return end;
  };
  const dispose = () => endings.forEach((end) => end());
  const asset = (name: FileName) =>
    new Promise<ArrayBuffer>((resolve) => {
      const end = onMessage((message, [bytes]) => {
        if (message.kind !== "asset" || message.name !== name) return;
        end();
        resolve(bytes instanceof ArrayBuffer ? bytes : copied(bytes));
      });
      send({ kind: "want", name });
    });
  const keep: Host["keep"] = (page) => offered<Host["keep"]>("keep")?.(page);
  return { send, onMessage, asset, dispose, keep, ready_ms: READY_MS, reveal: offered("goTo") };
}

function copied(view: ArrayBufferView | undefined): ArrayBuffer {
  if (!view) return new ArrayBuffer(0);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice().buffer as ArrayBuffer;
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const view = createView(el, hostOf(model));
  return () => view.dispose();
}

export default { render };
