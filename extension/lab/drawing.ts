// A board outside of a notebook: the program that a widget loads, loaded from the Jupyter server instead and given a
// model whose messages go there. Not bundled here, for its files share short names with each other only.

import { h } from "../src/dom";
import type { Asked, Told } from "../src/messages";
import type { Bytes } from "../src/run/columns";
import type { BoardHost, Connection } from "./connection";

type Heard = (message: Told, buffers: readonly Bytes[]) => void;

/** What there is to say of a board besides its run. */
export interface Wanted {
  /** Of the run, when it must be that one and no other of its name: Snapshot.id. */
  readonly id?: string | undefined;
  /** True for a board in an output, whose file keeps the page of its run. */
  readonly keeps?: boolean;
  /** Called with words for people when there is no such board to be had. */
  refused?(words: string): void;
}

/** As much of a widget's model as a board uses. */
interface Model {
  send(message: Asked): void;
  on(event: string, heard: Heard): void;
  off(event: string, heard: Heard): void;
}

/** What board.js gives. */
export interface Program {
  default: { render(given: { model: Model; el: HTMLElement }): () => void };
}

const ALIVE_MS = 2000;
const STYLE = "elfbook-board-style";

let program: Promise<Program> | null = null;

/** How the text of a program becomes one; tests have their own way. */
export const loading = {
  program: (text: string): Promise<Program> => {
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return import(/* @vite-ignore */ address).finally(() => URL.revokeObjectURL(address)) as Promise<Program>;
  },
};

function load(connection: Connection): Promise<Program> {
  program ??= Promise.all([connection.file("board.js"), connection.file("board.css")]).then(([text, style]) => {
    if (!document.getElementById(STYLE)) document.head.append(h("style", { id: STYLE }, style));
    return loading.program(text);
  });
  program.catch(() => (program = null));
  return program;
}

export function draw(connection: Connection, element: HTMLElement, run: string, wanted: Wanted = {}): () => void {
  const drawn = new Drawn(connection, element, run, wanted);
  return () => drawn.dispose();
}

class Drawn {
  private readonly host: BoardHost;
  private readonly line = h("p.elf-lost-line", { role: "alert" });
  private readonly above = h("div.elf-board", { hidden: true }, this.line);
  private readonly place = h("div");
  private readonly root: HTMLElement;
  private readonly heard = new Map<Heard, () => void>();
  private readonly endings: (() => void)[];
  private undraw: (() => void) | null = null;
  private begun = false;
  private refused = "";
  private failed = "";

  constructor(
    private readonly connection: Connection,
    element: HTMLElement,
    private readonly run: string,
    private readonly wanted: Wanted,
  ) {
    this.host = connection.openBoard(run);
    this.root = h("div", {}, this.above, this.place);
    element.append(this.root);
    this.host.onRefused((words) => this.refuse(words));
    // A board that hears nothing says that its kernel is gone. Here it is told below who is.
    const alive = setInterval(() => this.isAway() && this.tellAlive(), ALIVE_MS);
    this.endings = [connection.onChange(() => this.update()), () => clearInterval(alive)];
    this.update();
  }

  private refuse(words: string): void {
    this.refused = words;
    this.update();
    this.wanted.refused?.(words);
  }

  private isAway(): boolean {
    return this.words() !== "";
  }

  private tellAlive(): void {
    for (const heard of [...this.heard.keys()]) heard({ kind: "alive" }, []);
  }

  /** What keeps the board from being current; empty while nothing does. */
  private words(): string {
    const { connection, refused, failed } = this;
    if (connection.standing !== "open") return connection.why || "connecting to the Jupyter server …";
    const { reach = "connected", why = "", step = "" } = connection.overview ?? {};
    if (reach !== "connected") return [why, step && `${step} starts it.`].filter(Boolean).join(" ");
    return refused || failed;
  }

  private update(): void {
    if (this.connection.standing === "open" && !this.begun) void this.begin();
    this.say();
  }

  /** Greyed out while it is not current: it must not pretend to be. */
  private say(): void {
    const words = this.words();
    if (this.line.textContent !== words) this.line.textContent = words;
    this.above.hidden = !words;
    this.place.style.filter = words ? "grayscale(1)" : "";
    this.place.hidden = this.refused !== "";
  }

  private async begin(): Promise<void> {
    this.begun = true;
    try {
      const { render } = (await load(this.connection)).default;
      if (this.begun) this.undraw = render({ model: this.model(), el: this.place });
      this.failed = "";
      this.say();
    } catch (error) {
      this.begun = false;
      this.failed = `The board could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
      this.say();
    }
  }

  private model(): Model {
    return {
      send: (message) => this.host.send(message),
      on: (_event, heard) => {
        const told: Heard = (message, buffers) => this.isForBoard(message) && heard(message, buffers);
        this.heard.set(heard, this.host.onMessage(told));
      },
      off: (_event, heard) => {
        this.heard.get(heard)?.();
        this.heard.delete(heard);
      },
    };
  }

  private isForBoard(message: Told): boolean {
    const { id, keeps } = this.wanted;
    if (message.kind === "page") return Boolean(keeps);
    if (message.kind !== "snapshot" || !id || message.id === id) return true;
    this.refuse(`The mycelium of this Jupyter server has another run that is called ${this.run}.`);
    return false;
  }

  dispose(): void {
    this.begun = false;
    for (const end of this.endings) end();
    this.undraw?.();
    this.host.dispose();
    this.root.remove();
  }
}
