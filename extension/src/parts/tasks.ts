// A bar for each task, with its counts in words.

import type { Board, Part } from "../board";
import { SEEN_ONLY, button, h, say } from "../dom";
import { STATES } from "../messages";
import { BAR_ORDER } from "../graph/svg";
import { GLYPHS, FAILED, RUNNING, WAITING, DONE, SKIPPED, CANCELLED, count } from "../run/words";

/** Rows shown before the rest is folded away. */
const MOST = 12;
const TOLD = [RUNNING, FAILED, SKIPPED, CANCELLED, WAITING];

export class TaskRows implements Part {
  readonly element: HTMLElement;
  private readonly rows: { done: HTMLElement; told: HTMLElement; parts: HTMLElement[]; task: number }[] = [];

  constructor(private readonly board: Board) {
    const rows = board.run.tasks.map((_, task) => this.row(task));
    const table = (lines: HTMLElement[]) =>
      h(
        "table",
        { class: "elf-tasks" },
        h("caption.elf-unseen", {}, "jobs of each task"),
        h("thead.elf-unseen", {}, heads("task", "progress", "done", "others")),
        h("tbody", {}, ...lines),
      );
    this.element = h("div.elf-section", {}, table(rows.slice(0, MOST)));
    if (rows.length > MOST) {
      const summary = h("summary", {}, `${count(rows.length - MOST)} more tasks`);
      this.element.append(h("details", {}, summary, table(rows.slice(MOST))));
    }
    this.update();
  }

  private row(task: number): HTMLElement {
    const { board } = this;
    const { task: name, doc } = board.run.tasks[task];
    const parts = BAR_ORDER.map((code) => h("span", { class: `elf-fill-${STATES[code]}` }));
    const bar = h("div.elf-bar", SEEN_ONLY, ...parts);
    const done = h("td.elf-count");
    const told = h("td.elf-told");
    const title = doc ? `${board.run.taskTitle(task)}: ${doc}` : board.run.taskTitle(task);
    const choose = button(name, title, () => board.select({ task }, true), "elf-quiet elf-task");
    this.rows.push({ done, told, parts, task });
    return h("tr", {}, h("th", { scope: "row" }, choose), h("td.elf-barcell", {}, bar), done, told);
  }

  update(): void {
    const { run } = this.board;
    for (const { done, told, parts, task } of this.rows) {
      const own = run.talliesOf(task);
      const all = own.reduce((sum, number) => sum + number, 0);
      BAR_ORDER.forEach((code, index) => (parts[index].style.width = `${all ? (100 * own[code]) / all : 0}%`));
      say(done, `${count(own[DONE])} of ${count(all)}`);
      const words = TOLD.filter((code) => own[code] > 0);
      const key = words.map((code) => `${code}:${own[code]}`).join();
      if (told.dataset.key === key) continue;
      told.dataset.key = key;
      told.replaceChildren(...words.map((code) => this.tally(code, own[code])));
    }
  }

  private tally(code: number, number: number): HTMLElement {
    const name = STATES[code];
    const glyph = h("span", { class: `elf-ink-${name}`, "aria-hidden": "true" }, GLYPHS[name]);
    return h("span.elf-tally", {}, glyph, ` ${count(number)} ${name}`);
  }
}

export function heads(...names: string[]): HTMLElement {
  return h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name)));
}
