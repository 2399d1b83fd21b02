// Everything about one job. A part of it is made anew only when what it tells has changed, so that what a reader
// selects, opens or scrolls there stays.

import { magic, type Board, type Part } from "../board";
import { button, focused, h, say, region } from "../dom";
import type { Attempt, Detail, Source, Verb } from "../messages";
import { GLYPHS, count, duration, size, stateName } from "../run/words";
import type { Failures } from "./failures";
import { heads } from "./tasks";
import { Output } from "./output";
import { traceback } from "./traceback";

type Made = HTMLElement | null;
const MOST_NEIGHBOURS = 8;

export class DetailPart implements Part {
  readonly element: HTMLElement;
  readonly output = new Output();
  readonly head = h("div.elf-detail-head");
  private readonly time = h("span.elf-time");
  private readonly sections = new Map<string, { key: string; element: HTMLElement }>();
  private readonly bar = h("progress", { "aria-label": "progress" });
  private readonly words = h("span");
  private readonly moved = h("p.elf-row", {}, this.bar, this.words);
  private detail: Detail | null = null;
  private job = -1;

  constructor(
    private readonly board: Board,
    private readonly failures: Failures,
  ) {
    this.element = h("section.elf-detail", { "aria-label": "job", tabindex: -1 }, this.head, this.moved);
    this.element.hidden = true;
    for (const name of ["trace", "values", "attempts", "near", "source"]) {
      const element = h("div", { class: `elf-detail-${name}` });
      this.sections.set(name, { key: "", element });
      if (name === "near") this.element.append(this.output.element);
      this.element.append(element);
    }
  }

  /** Shows what the page knows already; the rest comes with a Detail. -1 closes. */
  open(job: number): void {
    if (job === this.job) return;
    this.job = job;
    this.detail = null;
    this.element.hidden = job < 0;
    this.output.open(job);
    for (const section of this.sections.values()) {
      section.key = "";
      section.element.replaceChildren();
    }
    this.head.dataset.key = "";
    this.update();
  }

  tell(detail: Detail): void {
    if (detail.job !== this.job) return;
    this.detail = detail;
    this.element.dataset.job = detail.label;
    this.update();
  }

  update(): void {
    if (this.job < 0) return;
    this.updateHead();
    this.updateProgress();
    const { detail } = this;
    if (!detail) return;
    const { lines, arguments: values, result, size: bytes, attempts, source, revision } = detail;
    const above = lines.length > 0 && this.failures.standing(detail.job, lines) !== null;
    this.section("trace", [lines, above], () => (above ? this.pointer(detail) : traced(detail)));
    this.section("values", [values, result, bytes], () => valuesOf(detail));
    this.section("attempts", attempts, () => attemptsOf(attempts));
    this.section("near", this.job, () => this.neighbours());
    this.section("source", [source, revision], () => this.sources(source, revision));
  }

  private section(name: string, data: unknown, make: () => Made): void {
    const section = this.sections.get(name);
    const key = JSON.stringify(data);
    if (!section || section.key === key) return;
    section.key = key;
    const made = make();
    section.element.replaceChildren(...(made ? [made] : []));
  }

  /** In place of a traceback that stands among the failures already. */
  private pointer({ job, label, lines }: Detail): HTMLElement {
    const go = () => this.failures.standing(job, lines)?.focus();
    return h("p.elf-row", {}, "traceback ", button("above", `go to the traceback of ${label}`, go, "elf-quiet"));
  }

  private updateHead(): void {
    const { run } = this.board;
    const { detail, job } = this;
    const state = run.perJob.state[job];
    // Ticks by itself: whatever else is in the head must not be made anew under a pointer.
    say(this.time, run.lasted(job, this.board.now()));
    const said = [detail?.reason, detail?.called_at, run.can, run.reference];
    const key = JSON.stringify([job, state, run.perJob.attempts[job], run.workerName(job), said]);
    if (this.head.dataset.key === key) return;
    this.head.dataset.key = key;
    const had = this.head.contains(focused(this.board.root));
    this.head.replaceChildren(...[this.title(), this.facts()]);
    // A button with the focus is made anew with the rest of the head; the focus stays in the detail.
    if (had) this.element.focus({ preventScroll: true });
  }

  private title(): HTMLElement {
    const { board, job } = this;
    const { run } = board;
    const name = stateName(run.perJob.state[job]);
    const show = magic(board, name === "failed" ? "logs" : "show", job);
    const verbs = verbsOf(name).filter((verb) => run.can.includes(verb));
    const actions = verbs.map((verb) =>
      button(verb === "retry" ? "Retry" : "Cancel", magic(board, verb, job), () => board.act(verb, [job], this.head)),
    );
    return h(
      "div",
      { class: "elf-row" },
      h("span", { class: `elf-glyph elf-ink-${name}`, "aria-hidden": "true" }, GLYPHS[name]),
      h("strong.elf-detail-title", {}, run.label(job)),
      h("span", {}, name),
      h("span.elf-actions", {}, ...actions, button("Copy %elf", show, () => board.copy(show)), this.closer()),
    );
  }

  private closer(): HTMLElement {
    const close = button("×", "close: Enter", () => this.board.select(null, true), "elf-quiet");
    close.setAttribute("aria-label", "close the job");
    return close;
  }

  private facts(): HTMLElement {
    const { board, detail, job } = this;
    const { run } = board;
    const parts = [
      run.workerName(job),
      run.perJob.attempts[job] > 1 ? `attempt ${run.perJob.attempts[job]}` : "",
      detail?.called_at ? `called at ${detail.called_at}` : "",
      detail?.revision ?? "",
    ].filter(Boolean);
    const reason = detail?.reason ? h("p", {}, detail.reason) : null;
    return h("div", {}, reason, h("p.elf-muted.elf-facts", {}, this.time, h("span", {}, parts.join(" · "))));
  }

  /** Kept and changed in its place, as it moves several times a second. */
  private updateProgress(): void {
    const moved = this.board.run.movedOf(this.job);
    this.moved.hidden = !moved;
    const share = moved?.share ?? -1;
    this.bar.hidden = share < 0;
    this.bar.value = share;
    say(this.words, moved?.words ?? "");
  }

  /** The edges of the graph in words: what a screen reader gets of them. */
  private neighbours(): Made {
    const { run } = this.board;
    const lists: [string, ArrayLike<number>][] = run.perJob.edges.map((each) => [each.kind.beside, run.parentsOf(this.job, [each])]);
    lists.push(["leads to", run.childrenOf(this.job)]);
    const rows = lists.filter(([, jobs]) => jobs.length).map(([words, jobs]) => this.links(words, jobs));
    return rows.length ? h("div", {}, ...rows) : null;
  }

  private links(words: string, jobs: ArrayLike<number>): HTMLElement {
    const shown = Array.from(jobs).slice(0, MOST_NEIGHBOURS);
    const { board } = this;
    const buttons = shown.map((job) =>
      button(board.run.label(job), `open ${board.run.label(job)}`, () => board.select({ job }, true), "elf-quiet"),
    );
    const rest = jobs.length - shown.length;
    return h("p.elf-row", {}, `${words} `, ...buttons, rest > 0 ? `and ${count(rest)} more` : "");
  }

  private sources(sources: readonly Source[], revision: string): Made {
    if (!sources.length) return null;
    const parts = sources.flatMap((source) => {
      const numbered = source.text.split("\n").map((line, index) => `${String(source.first_line + index).padStart(4)} ${line}\n`);
      const { cell_id: cell } = source;
      const { host } = this.board;
      const go = cell && host.reveal ? button("Go to the cell", source.label, () => host.reveal?.(cell), "elf-quiet") : null;
      const text = h("pre.elf-trace", region(`source, ${source.label}`), numbered.join(""));
      return [h("p.elf-row.elf-muted", {}, source.label, go), text];
    });
    return h("details", {}, h("summary", {}, `source${revision ? `, ${revision}` : ""}`), ...parts);
  }

  /** Puts the focus on the part, for a key that asks for it. */
  focus(name: "output" | "values"): void {
    const target = name === "output" ? this.output.log : this.sections.get("values")?.element.querySelector("table");
    target?.focus();
  }
}

export function verbsOf(state: string): Verb[] {
  if (state === "failed" || state === "cancelled") return ["retry"];
  return state === "waiting" || state === "running" ? ["cancel"] : [];
}

function traced({ label, lines }: Detail): Made {
  return lines.length ? traceback(lines, `traceback of ${label}`) : null;
}

function valuesOf({ arguments: values, result, size: bytes }: Detail): Made {
  if (!values.length && !result) return null;
  const row = (name: string, value: string) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("code", {}, value)));
  const rows = values.map(([name, value]) => row(name, value));
  if (result) rows.push(row(bytes ? `result, ${size(bytes)}` : "result", result));
  return h("table.elf-values", { tabindex: -1 }, h("caption.elf-unseen", {}, "arguments and result"), h("tbody", {}, ...rows));
}

function attemptsOf(attempts: readonly Attempt[]): Made {
  if (attempts.length < 2) return null;
  const rows = attempts.map(({ number, outcome, worker, elapsed_s: seconds, error }) => {
    const time = seconds === null || seconds === undefined ? "" : duration(seconds);
    return h("tr", {}, h("th", { scope: "row" }, String(number)), ...[outcome, worker, time, error ?? ""].map((text) => h("td", {}, text)));
  });
  const caption = h("caption.elf-unseen", {}, "attempts");
  return h("table.elf-values", {}, caption, h("thead", {}, heads("attempt", "outcome", "worker", "time", "error")), h("tbody", {}, ...rows));
}
