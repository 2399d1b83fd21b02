// What an output shows of its run, the best there is: the board while its kernel speaks, otherwise the board through
// Jupyter's server, otherwise the page that the file has kept.

import { button, h, say } from "../src/dom";
import { STANDING } from "../src/host";
import type { Connection } from "./connection";

export const RUN = "application/vnd.elfbook.run.v1+json";

/** What an output has under that type (elfbook/notebook/pages.py). */
export interface RunShown {
  readonly run: string;
  /** Tells it from all runs that bear its name, of other mycelia too. */
  readonly id: string;
  readonly settled: boolean;
  /** True when the output before this one is a line about it. */
  readonly line?: boolean;
}

type Layer = "page" | "kernel" | "server";
/** One lies behind the other, and only the foremost is seen; a board must have its width before it is. */
export type Layers = Readonly<Record<Layer, HTMLElement>>;

/** A kernel that is there has drawn its board by then. */
const GRACE_MS = 3000;
const BEHIND = "elf-behind";

export class RunOutput {
  /** What there is to say of the page. */
  readonly line = h("p.elf-output-line", { role: "status", hidden: true });
  readonly open: HTMLButtonElement;
  private shown: RunShown | null = null;
  private front: Layer = "page";
  private readonly live = { kernel: false, server: false };
  private endBoard: (() => void) | null = null;
  private refused = "";
  /** While it runs the kernel may still draw. */
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly endListening: () => void;

  constructor(
    private readonly connection: Connection,
    private readonly layers: Layers,
    open: (shown: RunShown) => void,
  ) {
    this.open = button("Open the board", "in a tab of its own", () => this.shown && open(this.shown), "elf-output-open");
    for (const layer of ["kernel", "server"] as const) {
      layers[layer].addEventListener(STANDING, (event) => {
        event.stopPropagation();
        this.live[layer] = (event as CustomEvent<boolean>).detail;
        this.consider();
      });
    }
    this.endListening = connection.onChange(() => this.consider());
    this.consider();
  }

  /** The output shows this run; of null, and of a run that has settled, the page only. */
  update(shown: RunShown | null): void {
    const before = this.shown;
    this.shown = shown;
    if (before?.id !== shown?.id || before?.settled !== shown?.settled) {
      this.endServer();
      this.live.kernel = false;
      this.front = "page";
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.consider();
      }, GRACE_MS);
    }
    this.consider();
  }

  /** Whether somebody can be asked for a board. */
  private get reachable(): boolean {
    return this.connection.standing === "open" && this.connection.overview?.reach === "connected";
  }

  private consider(): void {
    const { shown, live } = this;
    if (!shown || shown.settled || live.kernel) this.endServer();
    else if (!this.reachable) this.refused = "";
    else if (this.timer === undefined && !this.endBoard && !this.refused) this.askServer(shown);
    this.choose();
  }

  private askServer({ run, id }: RunShown): void {
    const refused = (words: string) => {
      this.endServer();
      this.refused = words;
      this.choose();
    };
    this.endBoard = this.connection.drawBoard(this.layers.server, run, { id, keeps: true, refused });
  }

  private endServer(): void {
    this.endBoard?.();
    this.endBoard = null;
    this.refused = "";
    this.live.server = false;
    if (this.front === "server") this.front = "page";
  }

  private choose(): void {
    const { live, layers, shown } = this;
    // A board that has become grey stays until there is something better: it knows more than the page.
    if (!shown || shown.settled) this.front = "page";
    else if (live.kernel) this.front = "kernel";
    else if (live.server) this.front = "server";
    for (const [name, element] of Object.entries(layers)) element.classList.toggle(BEHIND, name !== this.front);
    const isOld = this.front === "page" && shown !== null && !shown.settled && this.timer === undefined;
    this.line.hidden = !isOld;
    if (isOld) say(this.line, `The page as this file has kept it. ${this.why()}`);
    this.open.hidden = !(this.reachable && shown?.settled);
  }

  private why(): string {
    const { connection, refused } = this;
    return refused || connection.why || connection.overview?.why || "Asking for its board …";
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.endListening();
    this.endServer();
  }
}
