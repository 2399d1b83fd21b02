// All jobs as a list. Only the rows that are seen exist, so ten thousand cost no more than twenty.

import type { Board, Part } from "../board";
import { SEEN_ONLY, button, h, say } from "../dom";
import { jobOf } from "../graph/scene";
import { STATES } from "../messages";
import { ALL, matching, type Filter } from "../run/filters";
import { GLYPHS, FAILED, count, stateName } from "../run/words";

const ROW = 26;
const SPARE = 6;
/** The list is filtered again at most this often while patches flow. */
const REFILTER_MS = 200;

interface Row {
  element: HTMLElement;
  glyph: HTMLElement;
  label: HTMLElement;
  state: HTMLElement;
  worker: HTMLElement;
  time: HTMLElement;
}

export class JobList implements Part {
  readonly element: HTMLElement;
  readonly list: HTMLElement;
  readonly search: HTMLInputElement;
  filter: Filter = ALL;
  jobs: Int32Array;
  private readonly inner = h("div.elf-list-inner", { role: "presentation" });
  private readonly none = h("p.elf-muted.elf-none", {}, "no job matches");
  private readonly chips: [number, HTMLButtonElement][];
  private readonly rows: Row[] = [];
  private version = -1;
  private filteredAt = 0;
  private later: ReturnType<typeof setTimeout> | undefined;
  /** The first failure filters the list, unless its reader has chosen before. */
  private chosen = false;
  private rose = false;

  constructor(private readonly board: Board) {
    this.jobs = matching(board.run, ALL);
    this.search = h("input", {
      type: "search",
      class: "elf-search",
      placeholder: "filter: words, task:… worker:…",
      "aria-label": "filter the jobs",
      title: "filter: /",
      oninput: () => board.setFilter({ ...this.filter, words: this.search.value }),
    });
    this.chips = [-1, ...STATES.keys()].map((code) => [code, this.chip(code)]);
    const chips = h("span.elf-choice", { role: "group", "aria-label": "state" }, ...this.chips.map(([, chip]) => chip));
    this.list = h("div.elf-list", { role: "listbox", tabindex: 0, "aria-label": "jobs" }, this.inner);
    this.list.addEventListener("scroll", () => this.draw());
    this.list.addEventListener("click", (event) => this.click(event));
    this.element = h("div.elf-jobs", {}, h("div.elf-toolbar", {}, chips, this.search), this.list, this.none);
    this.update();
  }

  private chip(code: number): HTMLButtonElement {
    const title = code < 0 ? "all jobs" : `only ${STATES[code]} jobs`;
    return button("", title, () => this.board.setFilter({ ...this.filter, state: code }), "elf-quiet");
  }

  private click(event: MouseEvent): void {
    const row = (event.target as Element).closest<HTMLElement>(".elf-job");
    if (row?.dataset.job) this.board.select({ job: Number(row.dataset.job) }, true);
  }

  /** By a reader; from then on the list does not change its filter by itself. */
  choose(filter: Filter): void {
    this.chosen = true;
    this.set(filter);
  }

  private set(filter: Filter): void {
    this.filter = filter;
    if (this.search.value !== filter.words) this.search.value = filter.words;
    this.version = -1;
    this.update();
  }

  update(): void {
    this.rise();
    const { run } = this.board;
    for (const [code, chip] of this.chips) {
      const number = code < 0 ? run.jobs : run.totals[code];
      chip.hidden = !number && this.filter.state !== code;
      say(chip, code < 0 ? `all ${count(number)}` : `${GLYPHS[STATES[code]]} ${count(number)} ${STATES[code]}`);
      chip.setAttribute("aria-pressed", String(this.filter.state === code));
    }
    this.refilter();
    this.draw();
  }

  private rise(): void {
    const { run } = this.board;
    if (this.chosen || this.rose === run.failed > 0) return;
    this.rose = run.failed > 0;
    this.filter = { state: this.rose ? FAILED : -1, words: this.filter.words };
    this.version = -1;
    if (this.rose) this.board.announce(`${run.label(run.perJob.state.indexOf(FAILED))} failed`);
  }

  private refilter(): void {
    const { run } = this.board;
    if (this.version === run.version) return;
    const now = performance.now();
    clearTimeout(this.later);
    if (this.version >= 0 && now - this.filteredAt < REFILTER_MS) {
      this.later = setTimeout(() => this.board.redraw(), REFILTER_MS);
      return;
    }
    this.filteredAt = now;
    this.version = run.version;
    this.jobs = matching(run, this.filter);
  }

  /** Fills the rows that are in sight. */
  private draw(): void {
    const { jobs, rows } = this;
    this.inner.style.height = `${jobs.length * ROW}px`;
    this.list.hidden = jobs.length === 0;
    this.none.hidden = jobs.length > 0;
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - SPARE);
    const seen = Math.ceil((this.list.clientHeight || 300) / ROW) + 2 * SPARE;
    const amount = Math.max(0, Math.min(seen, jobs.length - first));
    while (rows.length < amount) {
      rows.push(made());
      this.inner.append(rows[rows.length - 1].element);
    }
    rows.forEach((row, index) => {
      row.element.hidden = index >= amount;
      if (index < amount) this.fill(row, first + index);
    });
    const shown = rows.find(({ element }) => !element.hidden && element.ariaSelected === "true");
    if (shown) this.list.setAttribute("aria-activedescendant", shown.element.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  private fill(row: Row, position: number): void {
    const { run, selected } = this.board;
    const job = this.jobs[position];
    const name = stateName(run.perJob.state[job]);
    const { element } = row;
    element.dataset.job = String(job);
    element.style.transform = `translateY(${position * ROW}px)`;
    element.id = `elf-${this.board.view}-${job}`;
    element.ariaSelected = String(jobOf(selected) === job);
    element.setAttribute("aria-setsize", String(this.jobs.length));
    element.setAttribute("aria-posinset", String(position + 1));
    if (row.glyph.dataset.state !== name) {
      row.glyph.dataset.state = name;
      row.glyph.className = `elf-glyph elf-ink-${name}`;
      say(row.glyph, GLYPHS[name]);
      say(row.state, name);
    }
    say(row.label, run.label(job));
    const attempts = run.perJob.attempts[job];
    const worker = run.workerName(job);
    const moved = run.movedOf(job);
    say(row.worker, [moved?.words, worker, attempts > 1 && `attempt ${attempts}`].filter(Boolean).join(", "));
    element.style.setProperty("--elf-share", String(moved?.share ?? 0));
    say(row.time, run.lasted(job, this.board.now()));
  }

  /** Where in the list the job stands; -1 when it is filtered out. */
  positionOf(job: number): number {
    return this.jobs.indexOf(job);
  }

  /** Scrolls the list, and only the list, as far as it takes. */
  reveal(job: number): void {
    const position = this.positionOf(job);
    if (position < 0) return;
    const { list } = this;
    const top = position * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  /** The next job of the list, or the nearest when none is selected. */
  beside(by: number): number {
    const at = this.positionOf(jobOf(this.board.selected));
    if (!this.jobs.length) return -1;
    if (at < 0) return this.jobs[by > 0 ? 0 : this.jobs.length - 1];
    return this.jobs[Math.min(this.jobs.length - 1, Math.max(0, at + by))];
  }

  dispose(): void {
    clearTimeout(this.later);
  }
}

function made(): Row {
  const glyph = h("span.elf-glyph", SEEN_ONLY);
  const label = h("span.elf-label");
  const state = h("span.elf-word");
  const worker = h("span.elf-worker");
  const time = h("span.elf-time");
  const element = h("div.elf-job", { role: "option" }, glyph, label, state, worker, time);
  return { element, glyph, label, state, worker, time };
}
