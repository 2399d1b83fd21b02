// The first line of a board: how the run stands, for how long, and what can be done with all of it.

import { magic, type Board, type Part } from "../board";
import { SEEN_ONLY, button, h, say } from "../dom";
import type { Verb } from "../messages";
import { GLYPHS, count, elapsed, left } from "../run/words";

const VERBS: Record<Verb, string> = { retry: "Retry failed", cancel: "Cancel", pause: "Pause", resume: "Resume" };

export class StateLine implements Part {
  readonly element: HTMLElement;
  /** Below it what is asked about the whole run appears. */
  readonly row: HTMLElement;
  private readonly glyph = h("span.elf-glyph", SEEN_ONLY);
  private readonly name = h("strong");
  private readonly word = h("span.elf-outcome");
  private readonly numbers = h("span.elf-numbers");
  private readonly time = h("span.elf-time");
  private readonly notes = h("div.elf-notes");
  private readonly buttons: [Verb, HTMLButtonElement][];
  private notesOf = "";

  constructor(private readonly board: Board) {
    const verbs: Verb[] = ["pause", "resume", "retry", "cancel"];
    this.buttons = verbs.map((verb) => [
      verb,
      button(VERBS[verb], "", () => board.act(verb, [], this.row)),
    ]);
    const name = h("span.elf-flow", {}, "flow ", this.name);
    const state = h("span.elf-state", {}, this.glyph, this.word);
    const actions = h("span.elf-actions", {}, ...this.buttons.map(([, button]) => button));
    this.row = h("div.elf-stateline", {}, name, state, this.numbers, this.time, actions);
    this.element = h("div", {}, this.row, this.notes);
    this.update();
  }

  update(): void {
    const { run } = this.board;
    const { head } = run;
    this.row.dataset.outcome = head.outcome;
    say(this.name, run.name);
    say(this.glyph, GLYPHS[head.outcome] ?? "●");
    say(this.word, head.outcome);
    const failed = run.failed ? ` · ${count(run.failed)} failed` : "";
    say(this.numbers, `${count(run.done)} of ${count(run.jobs)} done${failed}`);
    say(this.time, this.times());
    for (const [verb, button] of this.buttons) {
      button.hidden = !this.offers(verb);
      button.title = magic(this.board, verb);
    }
    this.updateNotes();
  }

  offers(verb: Verb): boolean {
    const { run } = this.board;
    if (!run.can.includes(verb)) return false;
    if (verb === "retry") return run.failed > 0;
    if (run.head.settled) return false;
    if (verb === "pause") return run.head.outcome !== "paused";
    return verb !== "resume" || run.head.outcome === "paused";
  }

  private times(): string {
    const { run } = this.board;
    const { started_at: from, ended_at: to, settled, outcome } = run.head;
    if (from === null || from === undefined) return "";
    const seconds = (settled && to ? to : this.board.now()) - from;
    const rest = settled || outcome === "paused" ? "" : left(run.finished, run.jobs, seconds);
    return rest ? `${elapsed(seconds)} · ${rest}` : elapsed(seconds);
  }

  private updateNotes(): void {
    const { reasons = [], steps = [], remarks = [] } = this.board.run.head;
    const key = JSON.stringify([reasons, steps, remarks]);
    if (key === this.notesOf) return;
    this.notesOf = key;
    const said = reasons.map((reason) => h("p", {}, reason));
    const next = steps.map(([why, words]) =>
      h("p", {}, `${why} `, h("code", {}, words), " ", button("Copy", words, () => this.board.copy(words), "elf-quiet")),
    );
    const rest = remarks.length ? h("p.elf-muted", {}, remarks.join(" · ")) : null;
    this.notes.replaceChildren(...said, ...next, ...(rest ? [rest] : []));
  }
}
