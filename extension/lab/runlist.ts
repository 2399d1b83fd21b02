// The runs in the panel. Arrow keys go from run to run, Tab through what can be done with the one in hand.

import { SEEN_ONLY, button, h, region, say } from "../src/dom";
import { STATES, type Verb } from "../src/messages";
import { Ask } from "../src/parts/ask";
import { duration } from "../src/run/words";
import type { Outside } from "./panel";
import type { Overview, RunLine } from "./panelmessages";
import { type Row, Rows } from "./rows";
import { at, olderNow, question } from "./wording";

const NAMES: Record<Verb, string> = { retry: "Retry", cancel: "Cancel", pause: "Pause", resume: "Resume" };
const INKS = new Set<string>(STATES);
/** What has ended stands first in a bar, what has not begun last. */
const IN_BAR = ["done", "failed", "cancelled", "skipped", "running", "waiting"] as const satisfies readonly (typeof STATES)[number][];

export class RunList {
  readonly element: HTMLElement;
  private readonly rows: Rows<RunLine>;
  private readonly none = h("p.elf-muted", {}, "No run yet: a cell that begins with ", h("code", {}, "%%elf flow NAME"), " starts one.");
  private readonly more = button("Older runs", "the fifty runs before these", () => void this.askOlder());
  private readonly said = h("p.elf-panel-said", { role: "status" });
  private readonly ask: Ask;
  private shown: RunLine[] = [];
  private older: RunLine[] = [];
  private moreOlder: boolean | null = null;

  constructor(
    root: HTMLElement,
    private readonly outside: Outside,
  ) {
    this.ask = new Ask(root);
    this.rows = new Rows<RunLine>(h("ul.elf-panel-list.elf-runs", region("runs")), ({ run }) => run, (line) => this.row(line));
    this.rows.element.removeAttribute("tabindex");
    this.rows.element.setAttribute("role", "list");
    this.element = h("div", {}, this.none, this.rows.element, this.more, this.said);
    this.rows.element.addEventListener("focusin", (event) => this.hold((event.target as Element).closest("li")));
  }

  update(overview: Overview): void {
    this.older = olderNow(this.shown, this.older, overview);
    this.shown = [...(overview.runs ?? []), ...this.older];
    this.rows.update(this.shown);
    this.none.hidden = this.shown.length > 0;
    this.more.hidden = !(this.moreOlder ?? overview.more);
    const { element } = this.rows;
    this.hold(element.querySelector<HTMLElement>("li[data-held]") ?? element.querySelector("li"));
  }

  /** One run is reached by Tab, the others by arrows from there. */
  private hold(held: Element | null): void {
    for (const row of this.rows.element.children) {
      row.toggleAttribute("data-held", row === held);
      for (const each of row.querySelectorAll("button")) each.tabIndex = row === held ? 0 : -1;
    }
  }

  key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.ask.open) {
      this.ask.close();
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const row = (event.target as Element).closest(".elf-run");
    const next = row && !event.ctrlKey && !event.altKey && !event.metaKey ? this.towards(row, event.key) : null;
    if (!next) return;
    next.querySelector<HTMLElement>(".elf-run-open")?.focus();
    event.preventDefault();
    event.stopPropagation();
  }

  private towards(row: Element, key: string): Element | null | undefined {
    const { children } = this.rows.element;
    const places: Record<string, Element | null | undefined> = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: children[0],
      End: children[children.length - 1],
    };
    return places[key];
  }

  private async askOlder(): Promise<void> {
    const last = this.shown.at(-1);
    if (!last) return;
    const told = await this.outside.connection.older(last.run);
    if (told.kind === "reply") {
      say(this.said, told.words);
      return;
    }
    this.older = [...this.older, ...told.runs];
    this.moreOlder = told.more ?? false;
    say(this.said, "");
    const { overview } = this.outside.connection;
    if (overview) this.update(overview);
  }

  // ---------------------------------------------------------------- one run

  private row(first: RunLine): Row<RunLine> {
    let line = first;
    const [glyph, name, word, when] = [h("span.elf-glyph", SEEN_ONLY), h("span.elf-run-name"), h("span.elf-run-word"), h("span.elf-muted.elf-time")];
    const open = h("button.elf-run-open", { type: "button", onclick: () => this.outside.open(line.run) }, glyph, " ", name, " ", word);
    const bar = h("div.elf-bar", SEEN_ONLY);
    const [title, failures, acts] = [h("div.elf-muted.elf-run-title"), h("ul.elf-panel-list.elf-run-failures"), h("div.elf-run-acts")];
    const said = h("p.elf-panel-said", { role: "status" });
    const element = h("li.elf-run", {}, h("div.elf-panel-head", {}, open, when), bar, title, failures, acts, said);
    const buttons = new Map<Verb, HTMLButtonElement>();
    const update = (now: RunLine): void => {
      line = now;
      say(glyph, line.glyph);
      say(name, line.name);
      say(word, line.word);
      element.dataset["run"] = line.run;
      word.setAttribute("class", `elf-run-word elf-ink-${ink(line.word)}`);
      glyph.setAttribute("class", `elf-glyph elf-ink-${ink(line.word)}`);
      open.title = `Open the board (%elf show ${line.name})${line.notebook ? `; from ${line.notebook}` : ""}`;
      say(when, lasted(line));
      say(title, line.title);
      fill(bar, line);
      list(failures, line.failures ?? []);
      this.offer(acts, buttons, line, (verb) => this.act(verb, line, acts, said));
    };
    return { element, update };
  }

  private offer(place: HTMLElement, buttons: Map<Verb, HTMLButtonElement>, line: RunLine, act: (verb: Verb) => void): void {
    const can = line.can ?? [];
    for (const verb of Object.keys(NAMES) as Verb[]) {
      const there = buttons.get(verb) ?? button(NAMES[verb], "", () => act(verb));
      if (!buttons.has(verb)) place.append(there);
      buttons.set(verb, there);
      there.title = `%elf ${verb} ${line.name}`;
      there.setAttribute("aria-label", `${NAMES[verb]} ${line.name}`);
      there.hidden = !can.includes(verb);
    }
    place.hidden = can.length === 0;
  }

  private act(verb: Verb, line: RunLine, below: HTMLElement, said: HTMLElement): void {
    const confirm = async (): Promise<void> => {
      say(said, "…");
      const { words, ok } = await this.outside.connection.act({ kind: "do", verb, run: line.run });
      say(said, words);
      said.classList.toggle("elf-ink-failed", !ok);
    };
    const asked = question(line, verb);
    if (asked) this.ask.show({ ...asked, title: `%elf ${verb} ${line.name}`, confirm: () => void confirm() }, below);
    else void confirm();
  }

  dispose(): void {
    this.ask.close(false);
  }
}

function ink(word: string): string {
  return INKS.has(word) ? word : "cancelled";
}

function lasted({ submitted_at: from = 0, settled_at: to }: RunLine): string {
  return [from && at(from), from && to && duration(to - from)].filter(Boolean).join(", ");
}

function fill(bar: HTMLElement, { counts, jobs }: RunLine): void {
  const wanted = IN_BAR.map((state) => `${(100 * (counts[state] ?? 0)) / Math.max(jobs, 1)}%`);
  if (!bar.childElementCount) bar.append(...IN_BAR.map((state) => h(`span.elf-fill-${state}` as const)));
  wanted.forEach((width, place) => ((bar.children[place] as HTMLElement).style.width = width));
}

function list(place: HTMLElement, lines: readonly string[]): void {
  const key = lines.join("\n");
  if (place.dataset["said"] === key) return;
  place.dataset["said"] = key;
  place.hidden = lines.length === 0;
  place.replaceChildren(...lines.map((line) => h("li.elf-error", {}, line)));
}
