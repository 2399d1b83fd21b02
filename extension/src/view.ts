// A view of a run in an element of a page, whoever its host is: what is said and heard, when it is drawn, and what
// is shown when nobody answers.

import { BoardView } from "./boardview";
import { button, h } from "./dom";
import { canvases } from "./files";
import { Engine } from "./graph/engine";
import { STANDING, type Host } from "./host";
import type { Patch, Snapshot, Told } from "./messages";
import { Malformed, type Bytes } from "./run/columns";
import { Run } from "./run/run";
import { Theme } from "./theme";

const TICK_MS = 1000;
const HELLO_AGAIN_MS = 30_000;
/** The other side speaks at least every two seconds. */
const ALONE_MS = 6000;
/** Each acknowledgement makes the kernel's busy sign blink; 48 patches may be under way without one. */
const ACK_EVERY = 16;
const ASK_ANEW_MS = 1000;

export interface View {
  dispose(): void;
}

export function createView(element: HTMLElement, host: Host): View {
  return new Connected(element, host);
}

class Connected implements View {
  private readonly root: HTMLElement;
  private readonly lost = h("div.elf-lost-line", { role: "alert", hidden: true });
  private readonly waiting = h("p.elf-muted", {}, "asking the kernel for the run …");
  private readonly theme: Theme;
  private readonly engine: Engine;
  private readonly view = Math.random().toString(36).slice(2, 10);
  private readonly endings: (() => void)[] = [];
  private board: BoardView | null = null;
  private frame = 0;
  private acked = 0;
  private heardAt = performance.now();
  private helloAt = -Infinity;
  /** Their clock less ours, in seconds. */
  private ahead = 0;
  private lostWords = "";
  private live = false;

  constructor(
    element: HTMLElement,
    private readonly host: Host,
  ) {
    const role = { role: "region", "aria-label": "the board of a run", tabindex: 0, "data-lm-suppress-shortcuts": "true" };
    this.root = h("div.elf-board", { ...role }, this.lost, this.waiting);
    element.append(this.root);
    this.theme = new Theme(this.root, () => this.redraw());
    this.engine = new Engine((name) => host.asset(name));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.endings.push(host.onMessage((message, buffers) => this.hear(message, buffers)));
    const hello = setTimeout(() => this.hello(false), host.ready_ms ?? 0);
    const again = setInterval(() => this.hello(true), HELLO_AGAIN_MS);
    const tick = setInterval(() => this.tick(), TICK_MS);
    this.endings.push(() => [hello, again, tick].forEach(clearInterval));
  }

  private hello(again: boolean): void {
    // A view that knows nothing yet needs more than to be known.
    const known = again && this.board !== null;
    if (!known) this.helloAt = performance.now();
    this.host.send({ kind: "hello", view: this.view, again: known });
  }

  private hear(message: Told, buffers: readonly Bytes[]): void {
    this.heardAt = performance.now();
    try {
      if (message.kind === "snapshot") this.begin(message, buffers);
      else if (message.kind === "patch") this.change(message, buffers);
      else if (message.kind === "page") this.host.keep?.(message);
      else this.board?.tell(message);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.askAnew();
    }
    if (this.lostWords) this.checkLost();
  }

  private begin(snapshot: Snapshot, buffers: readonly Bytes[]): void {
    this.setClock(snapshot.now);
    this.acked = snapshot.seq;
    if (!this.board?.run.absorb(snapshot, buffers)) {
      this.board?.dispose();
      this.board?.element.remove();
      this.waiting.remove();
      this.theme.refresh();
      const { root, host, view, theme, engine } = this;
      const outside = { root, host, view, theme, engine, now: () => this.now(), redraw: () => this.redraw() };
      this.board = new BoardView(outside, Run.from(snapshot, buffers));
      this.root.append(this.board.element);
      this.root.setAttribute("aria-label", `board of flow ${this.board.run.name}`);
      // Before anybody asks for it: by then the kernel may be gone. Who asks is told what is wrong.
      canvases((name) => host.asset(name)).catch(() => undefined);
    }
    this.board.again();
    this.checkLost();
    this.redraw();
  }

  private change(patch: Patch, buffers: readonly Bytes[]): void {
    if (!this.board || patch.seq <= this.board.run.seq) return;
    if (!this.board.run.patch(patch, buffers)) {
      this.askAnew();
      return;
    }
    this.setClock(patch.now);
    if (patch.head.lost) this.checkLost();
    this.redraw();
  }

  private setClock(now = 0): void {
    if (now) this.ahead = now - Date.now() / 1000;
  }

  private now(): number {
    return Date.now() / 1000 + this.ahead;
  }

  /** A patch is missing: everything is asked for once more, but not with every patch that comes until then. */
  private askAnew(): void {
    if (performance.now() - this.helloAt > ASK_ANEW_MS) this.hello(false);
  }

  redraw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    const { board } = this;
    if (!board) return;
    board.update();
    this.root.dataset.seq = String(board.run.seq);
    this.stand(!this.lostWords);
    if (board.run.seq - this.acked < ACK_EVERY) return;
    this.acked = board.run.seq;
    this.host.send({ kind: "ack", seq: this.acked });
  }

  private tick(): void {
    this.checkLost();
    if (this.board && !this.board.run.head.settled && !this.lostWords) this.redraw();
  }

  /** Greyed out when nobody follows the run any more: the page must not pretend that it is current. */
  private checkLost(): void {
    const silent = performance.now() - this.heardAt > ALONE_MS;
    const head = this.board?.run.head;
    let words = head?.lost ?? "";
    if (!words && silent) {
      if (!head) words = "no kernel answers for this board.";
      else if (head.settled) words = "this view lost its kernel; what it shows is how the run ended.";
      else words = "this view lost its kernel; the run did not.";
    }
    if (words === this.lostWords) return;
    this.lostWords = words;
    if (this.board) this.stand(!words);
    this.root.classList.toggle("elf-lost", words !== "" && !head?.settled);
    this.lost.hidden = !words;
    // The kernel's own words may say already what to type.
    const told = words.includes("%elf attach");
    const line = `%elf attach${this.board ? ` ${this.board.run.name}` : " --all"}`;
    const copy = button("Copy", line, () => this.board?.copy(line), "elf-quiet");
    this.lost.replaceChildren(words, ...(told ? [] : [" Go on with ", h("code", {}, line)]), ...(this.board ? [" ", copy] : []));
  }

  /** Tells whoever is around the board whether it shows the run as it is. */
  private stand(live: boolean): void {
    if (live === this.live) return;
    this.live = live;
    this.root.dispatchEvent(new CustomEvent(STANDING, { bubbles: true, detail: live }));
  }

  private key(event: KeyboardEvent): void {
    if (event.defaultPrevented || !this.board) return;
    if (this.board.key(event)) event.preventDefault();
    // Letters that a reader types here are not the notebook's commands; what is held with Ctrl may be.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  }

  dispose(): void {
    this.stand(false);
    for (const end of this.endings) end();
    cancelAnimationFrame(this.frame);
    this.host.send({ kind: "bye", view: this.view });
    this.host.dispose?.();
    this.board?.dispose();
    this.engine.dispose();
    this.theme.dispose();
    this.root.remove();
  }
}
