// Who stands between a view and the run: a widget's model, an output's comm, a server.

import type { Asked, FileName, Page, Told } from "./messages";
import type { Bytes } from "./run/columns";

/** The event by which a board tells what is around it whether it is live: its detail. */
export const STANDING = "elf-standing";

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
  /** Has outputs that show the run keep its page, and once it has settled show it, where the host can. */
  keep?(page: Page): void;
  /** Shows the notebook's cell, where the host can. */
  readonly reveal?: ((cellId: string) => void) | undefined;
}
