// The parts of a board, in their fixed order, and what they have in common: the selection, the filter, the keys.

import { magic, type Board, type Part } from "./board";
import type * as Canvases from "./canvases";
import { focused, h, say } from "./dom";
import { canvases } from "./files";
import type { Engine } from "./graph/engine";
import { jobOf, type Target } from "./graph/scene";
import type { Host } from "./host";
import { commandOf, type Command, type Place } from "./keys";
import { STATES, type Told, type Verb } from "./messages";
import { Ask } from "./parts/ask";
import { DetailPart, verbsOf } from "./parts/detail";
import { Failures } from "./parts/failures";
import { GraphPart } from "./parts/graph";
import { helpList } from "./parts/help";
import { JobList } from "./parts/jobs";
import { StateLine } from "./parts/stateline";
import { TaskRows } from "./parts/tasks";
import { Timeline } from "./parts/timeline";
import { Workers } from "./parts/workers";
import { question } from "./questions";
import type { Filter } from "./run/filters";
import type { Run } from "./run/run";
import { FAILED, count, plural } from "./run/words";
import type { Theme } from "./theme";

/** While a reader moves through jobs, each is asked for only when they stay. */
const STAYS_MS = 150;
const ANNOUNCE_MS = 5000;

export interface Outside {
  root: HTMLElement;
  host: Host;
  view: string;
  theme: Theme;
  engine: Engine;
  now(): number;
  redraw(): void;
}

export class BoardView implements Board {
  selected: Target | null = null;
  readonly element: HTMLElement;
  private opened = -1;
  private asked = 0;
  private staying: ReturnType<typeof setTimeout> | undefined;
  private announcedAt = -Infinity;
  private summary = "";
  private readonly ask: Ask;
  private readonly help = helpList();
  private readonly answer = h("span.elf-answer", { role: "status" });
  private readonly voice = h("span.elf-unseen", { role: "status", "aria-live": "polite" });
  private readonly stateLine: StateLine;
  private readonly graph: GraphPart;
  private readonly failures: Failures;
  private readonly jobs: JobList;
  private readonly detail: DetailPart;
  private readonly timeline: Timeline;
  private readonly workers: Workers;
  private readonly parts: Part[];

  constructor(
    private readonly outside: Outside,
    readonly run: Run,
  ) {
    this.ask = new Ask(outside.root);
    this.stateLine = new StateLine(this);
    const tasks = new TaskRows(this);
    this.graph = new GraphPart(this, outside.engine);
    this.failures = new Failures(this);
    this.jobs = new JobList(this);
    this.detail = new DetailPart(this, this.failures);
    this.timeline = new Timeline(this);
    this.workers = new Workers(this);
    this.parts = [this.stateLine, tasks, this.graph, this.failures, this.jobs, this.detail, this.timeline, this.workers];
    const work = h("div.elf-work", {}, this.jobs.element, this.detail.element);
    const foot = h("div.elf-foot", {}, this.answer, h("span.elf-muted", {}, h("kbd", {}, "?"), " keys"));
    this.element = h(
      "div",
      {},
      this.stateLine.element,
      tasks.element,
      this.graph.element,
      this.failures.element,
      work,
      this.timeline.element,
      this.workers.element,
      this.help,
      foot,
      this.voice,
    );
  }

  get root(): HTMLElement {
    return this.outside.root;
  }

  get host(): Host {
    return this.outside.host;
  }

  get theme(): Theme {
    return this.outside.theme;
  }

  get view(): string {
    return this.outside.view;
  }

  now(): number {
    return this.outside.now();
  }

  redraw(): void {
    this.outside.redraw();
  }

  update(): void {
    for (const part of this.parts) part.update();
    this.tellSummary();
  }

  /** The run in a sentence for those who hear it, at most every five seconds. */
  private tellSummary(): void {
    const { run } = this;
    const words = `${run.head.outcome}: ${count(run.done)} of ${count(run.jobs)} done, ${count(run.failed)} failed`;
    const now = performance.now();
    if (words === this.summary || now - this.announcedAt < ANNOUNCE_MS) return;
    this.summary = words;
    this.announce(words);
  }

  announce(text: string): void {
    this.announcedAt = performance.now();
    say(this.voice, text);
  }

  tell(message: Told): void {
    if (message.kind === "detail") this.detail.tell(message);
    else if (message.kind === "printed") this.detail.output.add(message);
    else if (message.kind === "moves") {
      this.run.moves = message.jobs;
      this.redraw();
    } else if (message.kind === "census") this.workers.tell(message.workers);
    else if (message.kind === "answer") this.say(message.words, message.ok);
  }

  async canvases(what: string): Promise<typeof Canvases | null> {
    try {
      return await canvases((name) => this.host.asset(name));
    } catch (error) {
      this.say(`${what} cannot be drawn: ${(error as Error).message}. Choose it again once the kernel answers.`, false);
      return null;
    }
  }

  private say(words: string, ok = true): void {
    say(this.answer, words);
    this.answer.classList.toggle("elf-ink-failed", !ok);
  }

  /** After a break the other side may have forgotten what this view shows. */
  again(): void {
    if (this.opened >= 0) this.sendOpen(this.opened);
    if (this.workers.open) this.workers.ask();
  }

  // ------------------------------------------------------------------ selection

  select(target: Target | null, open: boolean): void {
    this.selected = target;
    const job = jobOf(target);
    if (open || (this.opened >= 0 && job >= 0)) this.show(job, open);
    if (target && "task" in target && open) this.filterTask(target.task);
    this.graph.mark(this.found());
    if (target && !open) this.graph.reveal(target);
    this.jobs.update();
    if (job >= 0) this.jobs.reveal(job);
    this.jobs.update();
  }

  private found(): Int32Array | null {
    return this.jobs.filter.words.trim() ? this.jobs.jobs : null;
  }

  private filterTask(task: number): void {
    const title = this.run.taskTitle(task);
    const words = `task:${/\s/.test(title) ? this.run.tasks[task].task : title}`;
    this.jobs.choose({ state: -1, words });
  }

  private show(job: number, atOnce: boolean): void {
    this.opened = job;
    this.detail.open(job);
    clearTimeout(this.staying);
    if (atOnce) this.sendOpen(job);
    else this.staying = setTimeout(() => this.sendOpen(job), STAYS_MS);
  }

  private sendOpen(job: number): void {
    this.host.send({ kind: "open", view: this.view, job, start: this.detail.output.next });
  }

  setFilter(filter: Filter): void {
    this.jobs.choose(filter);
    this.graph.mark(this.found());
  }

  // ------------------------------------------------------------------ actions

  act(verb: Verb, jobs: readonly number[], below: HTMLElement): void {
    const send = () => {
      this.host.send({ kind: "act", id: ++this.asked, verb, jobs: [...jobs] });
      this.say(`asked: ${this.line(verb, jobs)}`);
    };
    const asked = question(this.run, verb, jobs);
    if (asked) this.ask.show({ ...asked, title: this.line(verb, jobs), confirm: send }, below);
    else send();
  }

  private line(verb: Verb, jobs: readonly number[]): string {
    return magic(this, verb, jobs.length === 1 ? jobs[0] : -1);
  }

  copy(text: string): void {
    const told = () => this.say(`copied: ${text}`);
    const failed = () => this.say(text); // there to be copied by hand
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(told, failed);
    else failed();
  }

  // ------------------------------------------------------------------ keys

  /** True when the key was the board's. */
  key(event: KeyboardEvent): boolean {
    const command = commandOf(event, placeOf(focused(this.root)));
    if (!command) return false;
    this.obey(command);
    return true;
  }

  private obey(command: Command): void {
    const { graph, jobs, detail } = this;
    const byCommand: Record<Command, () => void> = {
      left: () => this.move("left"),
      right: () => this.move("right"),
      up: () => this.move("up"),
      down: () => this.move("down"),
      open: () => this.open(),
      nextFailure: () => this.failure(1),
      previousFailure: () => this.failure(-1),
      output: () => detail.focus("output"),
      inputs: () => detail.focus("values"),
      retry: () => this.actOnSelected("retry"),
      cancel: () => this.actOnSelected("cancel"),
      pause: () => this.actOnSelected(this.run.head.outcome === "paused" ? "resume" : "pause"),
      filter: () => jobs.search.focus(),
      graph: () => (focused(this.root) === graph.window ? jobs.list : graph.window).focus(),
      copy: () => this.copySelected(),
      help: () => (this.help.hidden = !this.help.hidden),
      leave: () => this.leave(),
      larger: () => graph.zoom(1.25),
      smaller: () => graph.zoom(0.8),
      fit: () => graph.fit(),
    };
    byCommand[command]();
  }

  private move(way: "left" | "right" | "up" | "down"): void {
    if (focused(this.root) === this.graph.window) {
      this.graph.walk(way);
      return;
    }
    if (way === "left" || way === "right") return;
    if (focused(this.root) === this.jobs.search) this.jobs.list.focus();
    const job = this.jobs.beside(way === "down" ? 1 : -1);
    if (job >= 0) this.select({ job }, false);
  }

  private open(): void {
    const { selected } = this;
    if (selected && "task" in selected) this.graph.toggle(selected.task);
    else if (selected) this.show(this.opened === selected.job ? -1 : selected.job, true);
    else this.move("down");
  }

  private failure(by: number): void {
    const { state } = this.run.perJob;
    const { selected, run } = this;
    const from = jobOf(selected) >= 0 ? jobOf(selected) : by > 0 ? -1 : run.jobs;
    for (let step = 1; step <= run.jobs; step++) {
      const job = (((from + by * step) % run.jobs) + run.jobs) % run.jobs;
      if (state[job] !== FAILED) continue;
      this.select({ job }, true);
      this.announce(`${run.label(job)} ${STATES[FAILED]}`);
      return;
    }
    this.announce(`${plural(run.failed, "failure")}`);
  }

  private actOnSelected(verb: Verb): void {
    const { selected, run } = this;
    if (!run.can.includes(verb)) return;
    const job = jobOf(selected);
    const own = job >= 0 && verbsOf(STATES[run.perJob.state[job]]).includes(verb);
    if (own) this.act(verb, [job], this.opened === job ? this.detail.head : this.jobs.element);
    else if (this.stateLine.offers(verb)) this.act(verb, [], this.stateLine.row);
  }

  private copySelected(): void {
    const job = jobOf(this.selected);
    this.copy(magic(this, job >= 0 && this.run.perJob.state[job] === FAILED ? "logs" : "show", job));
  }

  /** One step out: of a question, of the help, of a field, and then of the board. */
  private leave(): void {
    if (this.ask.open) this.ask.close();
    else if (!this.help.hidden) this.help.hidden = true;
    else if (focused(this.root) === this.jobs.search) this.jobs.list.focus({ preventScroll: true });
    else {
      (focused(this.root) as HTMLElement | null)?.blur();
      this.root.parentElement?.closest<HTMLElement>("[tabindex]")?.focus({ preventScroll: true });
    }
  }

  dispose(): void {
    clearTimeout(this.staying);
    for (const part of this.parts) part.dispose?.();
  }
}

function placeOf(element: Element | null): Place {
  if (element?.closest("input")) return "field";
  if (element?.closest("button, summary, a")) return "button";
  return element?.closest(".elf-log, .elf-trace, .elf-wide") ? "text" : "elsewhere";
}
