// What the parts of a board know of it.

import type * as Canvases from "./canvases";
import type { Verb } from "./messages";
import type { Target } from "./graph/scene";
import type { Host } from "./host";
import type { Filter } from "./run/filters";
import type { Run } from "./run/run";
import type { Theme } from "./theme";

export interface Board {
  readonly root: HTMLElement;
  readonly host: Host;
  readonly run: Run;
  readonly theme: Theme;
  readonly selected: Target | null;
  /** Tells views of one model apart. */
  readonly view: string;
  /** Seconds since the epoch by the clock of whoever tells the times. */
  now(): number;
  /** Selects; a job's detail opens with it when `open` is set. */
  select(target: Target | null, open: boolean): void;
  setFilter(filter: Filter): void;
  /** Asks first, in place below the element. */
  act(verb: Verb, jobs: readonly number[], below: HTMLElement): void;
  copy(text: string): void;
  /** What draws on canvases; null when it does not come, and then the board says so of what was to be drawn. */
  canvases(what: string): Promise<typeof Canvases | null>;
  /** For those who hear the page rather than see it. */
  announce(text: string): void;
  /** Draws anew with the next frame. */
  redraw(): void;
}

export interface Part {
  readonly element: HTMLElement;
  /** Shows the run as it is now. */
  update(): void;
  dispose?(): void;
}

/** The line of the magic that does the same as the button. */
export function magic(board: Board, verb: string, job = -1): string {
  const { run } = board;
  return `%elf ${verb} ${run.reference}${job >= 0 ? `/${run.fullLabel(job)}` : ""}`;
}
