// What stands in the side panel: how the mycelium is, runs, workers, elves. It knows a connection and no JupyterLab.

import { SEEN_ONLY, button, h, say } from "../src/dom";
import { plural } from "../src/run/words";
import type { Connection } from "./connection";
import { elfRow } from "./elflist";
import type { Elf, Overview, Worker } from "./panelmessages";
import { Rows } from "./rows";
import { RunList } from "./runlist";
import { current, doing, durability, standing, uses } from "./wording";

export interface Outside {
  readonly connection: Connection;
  /** How many workers Start asks for. */
  workers(): number;
  open(run: string): void;
}

export class PanelView {
  readonly element = h("div.elf-board.elf-panel", { role: "region", "aria-label": "elfbook", tabindex: -1 });
  private readonly glyph = h("span.elf-glyph", SEEN_ONLY);
  private readonly word = h("span");
  private readonly state = h("p.elf-panel-state", { role: "status" }, this.glyph, " ", this.word);
  private readonly place = h("p.elf-muted");
  private readonly why = h("p.elf-panel-why");
  private readonly step = h("code");
  private readonly attention = h("ul.elf-panel-attention");
  private readonly again = button("Try again", "ask the Jupyter server once more", () => this.outside.connection.again());
  private readonly start = button("Start workers", "%elf up", () => void this.up());
  private readonly said = h("p.elf-panel-said", { role: "status" });
  private readonly rest = h("div");
  private readonly runs: RunList;
  private readonly workers = new Rows<Worker>(h("ul.elf-panel-list"), ({ name }) => name, workerRow);
  private readonly elves: Rows<Elf>;
  private readonly noWorkers = h("p.elf-muted", {}, "No worker is there.");
  private readonly noElves = h("p.elf-muted", {}, "An elf is listed here once a run has used it.");
  private readonly sections: Record<"runs" | "workers" | "elves", HTMLElement>;
  private readonly end: () => void;
  private starting = false;

  constructor(private readonly outside: Outside) {
    this.runs = new RunList(this.element, outside);
    this.elves = new Rows<Elf>(h("div"), ({ name }) => name, (elf) => elfRow(elf, (run) => outside.open(run)));
    this.sections = {
      runs: section("Runs", this.runs.element),
      workers: section("Workers", this.workers.element, this.noWorkers),
      elves: section("Elves", this.elves.element, this.noElves),
    };
    const next = h("p.elf-row", {}, this.start, this.step, this.again);
    this.rest.append(this.sections.runs, this.sections.workers, this.sections.elves);
    this.element.append(this.state, this.place, this.why, this.attention, next, this.said, this.rest);
    this.element.addEventListener("keydown", (event) => this.runs.key(event));
    this.end = outside.connection.onChange(() => this.update());
    this.update();
  }

  /** Draws what is known now. */
  update(): void {
    const { connection } = this.outside;
    const { overview, standing: way } = connection;
    const { glyph, word, ink } = standing(connection);
    say(this.glyph, glyph);
    say(this.word, word);
    this.state.setAttribute("class", `elf-panel-state elf-ink-${ink}`);
    const known = way === "open" ? overview : null;
    put(this.place, known ? [known.place, durability(known.durability)].filter(Boolean).join(", ") : "");
    this.place.title = known?.kept ? `kept in ${known.kept}` : "";
    put(this.why, way === "open" ? (overview?.why ?? "") : connection.why);
    put(this.step, known?.step ?? "");
    this.again.hidden = way !== "away" && way !== "absent";
    this.notes(known?.attention ?? []);
    this.offer(known);
    this.rest.hidden = !overview || (way === "absent" && !overview.runs?.length);
    this.rest.classList.toggle("elf-panel-old", !current(connection));
    if (overview) this.list(overview);
  }

  /** Workers can be started where the server is there, or would be with them. */
  private offer(known: Overview | null): void {
    const { workers } = this.outside;
    this.start.hidden = !known || known.reach === "away" || (known.reach === "connected" && (known.workers ?? []).length > 0);
    this.start.disabled = this.starting;
    say(this.start, `Start ${plural(workers(), "worker")}`);
    this.start.title = `%elf up ${workers()}`;
  }

  private list(overview: Overview): void {
    const { runs = [], workers = [], elves = [] } = overview;
    this.runs.update(overview);
    this.workers.update(workers);
    this.elves.update(elves);
    this.noWorkers.hidden = workers.length > 0;
    this.noElves.hidden = elves.length > 0;
    number(this.sections.runs, `${runs.length}${overview.more ? " and more" : ""}`);
    number(this.sections.workers, String(workers.length));
    number(this.sections.elves, String(elves.length));
  }

  private notes(words: readonly string[]): void {
    if (this.attention.dataset["said"] === words.join("\n")) return;
    this.attention.dataset["said"] = words.join("\n");
    this.attention.hidden = words.length === 0;
    this.attention.replaceChildren(...words.map((each) => h("li", {}, each)));
  }

  private async up(): Promise<void> {
    const workers = this.outside.workers();
    this.starting = true;
    say(this.said, `starting ${plural(workers, "worker")} …`);
    this.update();
    const { words } = await this.outside.connection.act({ kind: "up", workers });
    this.starting = false;
    say(this.said, words);
    this.update();
  }

  dispose(): void {
    this.end();
    this.runs.dispose();
    this.element.remove();
  }
}

function section(name: string, ...children: HTMLElement[]): HTMLDetailsElement {
  return h("details.elf-panel-section", { open: true }, h("summary", {}, h("h3", {}, name), " ", h("span.elf-muted")), ...children);
}

function number(section: HTMLElement, words: string): void {
  const place = section.querySelector("summary > span");
  if (place) say(place, words);
}

function put(element: HTMLElement, words: string): void {
  say(element, words);
  element.hidden = !words;
}

function workerRow(): { element: HTMLElement; update(worker: Worker): void } {
  const [name, where, used, now] = [h("strong"), h("span.elf-muted"), h("span.elf-panel-used"), h("div.elf-panel-now")];
  const element = h("li.elf-panel-worker", {}, h("div.elf-panel-head", {}, name, where, used), now);
  const update = (worker: Worker): void => {
    say(name, worker.name);
    say(where, [worker.host, worker.pool].filter(Boolean).join(", "));
    say(used, uses(worker));
    say(now, [doing(worker), worker.holds?.length ? `has ${worker.holds.join(", ")}` : ""].filter(Boolean).join("; "));
    now.classList.toggle("elf-muted", !worker.running);
    element.title = [worker.kernel, worker.python && `Python ${worker.python}`].filter(Boolean).join(", ");
  };
  return { element, update };
}
