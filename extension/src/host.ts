// Who stands between a view and the run: a widget's model, an output's comm, a server.

import type { Asked, FileName, Told } from "./messages";
import type { Bytes } from "./run/columns";

export interface Host {
  send(message: Asked): void;
  /** Returns what ends the listening. */
  onMessage(tell: (message: Told, buffers: readonly Bytes[]) => void): () => void;
  /** A file's bytes; none when there is no such file. */
  asset(name: FileName): Promise<ArrayBuffer>;
  /** Nothing is listened for any more, a file that has not come included. */
  dispose?(): void;
  /** How long after rendering the other side can be spoken to. */
  readonly ready_ms?: number;
  /** Puts the page of a settled run where the widget of that id is shown, where the host can. */
  settle?(model: string, bundle: Record<string, string>): void;
  /** Shows the notebook's cell, where the host can. */
  readonly reveal?: ((cellId: string) => void) | undefined;
}
