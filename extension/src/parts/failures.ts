// Equal failures together: what went wrong, how often, and the first one's traceback.

import { magic, type Board, type Part } from "../board";
import { SEEN_ONLY, button, h } from "../dom";
import type { Group, Line } from "../messages";
import { count } from "../run/words";
import { traceback } from "./traceback";

const MOST = 5;

export class Failures implements Part {
  readonly element = h("div.elf-failures");
  private shown: readonly Group[] = [];
  private reference = "";
  private keys: string[] = [];

  constructor(private readonly board: Board) {
    this.update();
  }

  update(): void {
    const { groups, reference } = this.board.run;
    if (groups === this.shown && reference === this.reference) return;
    [this.shown, this.reference] = [groups, reference];
    const top = groups.slice(0, MOST);
    const keys = top.map((group) => JSON.stringify([group.title, group.error, group.lines, reference]));
    if (keys.join() === this.keys.join() && groups.length <= MOST) return;
    // What a reader has opened or closed stays so: a group that is there already keeps its element.
    const opened = new Map([...this.element.children].map((child, index) => [this.keys[index], child]));
    const blocks = top.map((group, index) => opened.get(keys[index]) ?? this.block(group, index));
    const rest = groups.length - top.length;
    const more = h("p.elf-muted", {}, `and ${count(rest)} more kinds of failure: `, h("code", {}, magic(this.board, "show")));
    this.keys = keys;
    this.element.replaceChildren(...blocks, ...(rest > 0 ? [more] : []));
  }

  /** The traceback of these lines, where it stands here open under this job's name. */
  standing(job: number, lines: readonly Line[]): HTMLElement | null {
    const words = JSON.stringify(lines);
    const own = (group: Group) => group.jobs[0] === job && JSON.stringify(group.lines) === words;
    const block = this.element.children[this.shown.slice(0, MOST).findIndex(own)] as HTMLDetailsElement | undefined;
    return block?.open ? block.querySelector<HTMLElement>(".elf-trace") : null;
  }

  private block(group: Group, index: number): HTMLElement {
    const { board } = this;
    const [first] = group.jobs;
    const element = h("details.elf-failure");
    element.open = index === 0;
    // An opened job shows its traceback while it does not stand here.
    element.addEventListener("toggle", () => board.redraw());
    const summary = h(
      "summary",
      {},
      h("span.elf-ink-failed", SEEN_ONLY, "✗ "),
      h("strong", {}, group.title),
      " ",
      h("span.elf-error", {}, group.error),
    );
    const actions = h("p.elf-row");
    if (first !== undefined) {
      const label = `Open ${board.run.label(first)}`;
      actions.append(button(label, magic(board, "show", first), () => board.select({ job: first }, true)));
    }
    if (board.run.can.includes("retry")) {
      const words = group.count > 1 ? "Retry these" : "Retry";
      // More than a hundred jobs are not named one by one; then all that has failed is meant.
      const jobs = group.count > group.jobs.length ? [] : group.jobs;
      actions.append(button(words, magic(board, "retry", jobs.length === 1 ? first : -1), () => board.act("retry", jobs, actions)));
    }
    element.append(summary, traceback(group.lines, `traceback of ${group.title}`), actions);
    return element;
  }
}
