// The workers there are and what they do now; told only while this is open.

import type { Board, Part } from "../board";
import { h, region } from "../dom";
import type { WorkerNow } from "../messages";
import { size } from "../run/words";
import { heads } from "./tasks";

export class Workers implements Part {
  readonly element: HTMLDetailsElement;
  private readonly body = h("tbody");
  private readonly none = h("p.elf-muted", {}, "no worker is there");
  private readonly table: HTMLElement;
  private key = "";

  constructor(private readonly board: Board) {
    const caption = h("caption.elf-unseen", {}, "workers");
    const head = h("thead", {}, heads("worker", "job", "CPU", "memory"));
    this.table = h("table.elf-values.elf-workers", { hidden: true }, caption, head, this.body);
    const box = h("div.elf-wide", region("workers"), this.table, this.none);
    this.element = h("details.elf-section.elf-fold", {}, h("summary", {}, "workers"), box);
    this.element.addEventListener("toggle", () => this.ask());
  }

  /** Tells the other side whether anybody looks. */
  ask(): void {
    this.board.host.send({ kind: "count", view: this.board.view, on: this.element.open });
  }

  get open(): boolean {
    return this.element.open;
  }

  update(): void {}

  tell(workers: readonly WorkerNow[]): void {
    const key = JSON.stringify(workers);
    if (key === this.key) return;
    this.key = key;
    this.body.replaceChildren(...workers.map(row));
    this.table.hidden = workers.length === 0;
    this.none.hidden = workers.length > 0;
  }
}

function row({ name, host, pool, running, memory, cpu }: WorkerNow): HTMLElement {
  const where = h("span.elf-muted", {}, [host, pool].filter(Boolean).join(", "));
  const cells = [running || "idle", cpu ? `${Math.round(cpu * 100)} %` : "", memory ? size(memory) : ""];
  return h("tr", {}, h("th", { scope: "row" }, name, " ", where), ...cells.map((text) => h("td", {}, text)));
}
