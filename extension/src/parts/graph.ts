// The graph: which way of drawing it, and what is marked in it.

import type { Board, Part } from "../board";
import { SEEN_ONLY, button, focused, h, s } from "../dom";
import { dotOf, placeByOwn, placeByPlain } from "../graph/dot";
import type { Engine } from "../graph/engine";
import { sceneOfJobs, sceneOfTasks, tasksFrom } from "../graph/grouping";
import { DIM, NORMAL, PATH, SELECTED, UNMARKED, type Marks, type Renderer, type Way } from "../graph/renderer";
import { MOST_EACH, jobOf, type Scene, type Target } from "../graph/scene";
import { Stage } from "../graph/stage";
import { SvgRenderer, lineOf } from "../graph/svg";
import { EDGES } from "../messages";
import { stateName } from "../run/words";

/** Boxes that Graphviz lays out well within its time; more go to the layout of our own. */
const MOST_BOXES = 400;
const LEAST_HEIGHT = 120;
const MOST_HEIGHT = 340;

type Mode = "jobs" | "tasks";

export class GraphPart implements Part {
  readonly element: HTMLElement;
  readonly window: HTMLElement;
  mode: Mode;
  private renderer: Renderer | null = null;
  private readonly stage: Stage;
  private readonly opened = new Set<number>();
  private readonly modes: [Mode, HTMLButtonElement][];
  private scene: Scene | null = null;
  private marks: Marks = UNMARKED;
  private turn = 0;

  constructor(
    private readonly board: Board,
    private readonly engine: Engine,
  ) {
    const { run } = board;
    this.mode = run.jobs <= MOST_EACH ? "jobs" : "tasks";
    this.window = h("div", {
      class: "elf-graph",
      tabindex: 0,
      role: "application",
      "aria-label": `graph: ${run.alt || "jobs and what they need"}. Arrow keys walk it, Enter opens.`,
    });
    this.stage = new Stage(
      this.window,
      { tap: (target, toggles, twice) => this.tap(target, toggles, twice), hover: (target) => this.hover(target) },
      () => focused(board.root) === this.window,
    );
    this.modes = [
      ["tasks", this.modeButton("tasks", "By task", "one box a task")],
      ["jobs", this.modeButton("jobs", "All jobs", "each job by itself")],
    ];
    const zooms = [
      button("−", "zoom out: -", () => this.stage.zoom(1 / 1.4), "elf-quiet"),
      button("+", "zoom in: +", () => this.stage.zoom(1.4), "elf-quiet"),
      button("Fit", "see all of it: 0", () => this.stage.fit(), "elf-quiet"),
    ];
    const choice = h("span.elf-choice", { role: "group", "aria-label": "graph" }, ...this.modes.map(([, b]) => b));
    const bar = h("div.elf-toolbar", {}, choice, this.legend(), h("span.elf-actions", {}, ...zooms));
    this.element = h("div.elf-section", {}, bar, this.window);
    void this.show(false);
  }

  private modeButton(mode: Mode, words: string, title: string): HTMLButtonElement {
    return button(words, title, () => this.change(mode), "elf-quiet");
  }

  /** What each kind of line means, unless all are values that are needed. */
  private legend(): HTMLElement | null {
    const { edges } = this.board.run.perJob;
    if (edges.every(({ kind }) => kind === EDGES[0])) return null;
    const entries = edges.map(({ kind }) => {
      const line = s("path.elf-edge", { ...lineOf(kind), d: "M0 5H26" });
      return h("span.elf-row", {}, s("svg", { ...SEEN_ONLY, width: 26, height: 10 }, line), kind.legend);
    });
    return h("span.elf-legend", {}, ...entries);
  }

  change(mode: Mode): void {
    if (mode === this.mode) return;
    this.mode = mode;
    void this.show(false);
  }

  /** Lays the graph out and draws it; what was on the screen stays until then. */
  private async show(keep: boolean): Promise<void> {
    for (const [mode, button] of this.modes) button.setAttribute("aria-pressed", String(mode === this.mode));
    const turn = ++this.turn;
    const { run, theme } = this.board;
    if (this.mode === "jobs" && run.jobs > MOST_EACH) {
      const made = await this.board.canvases("all jobs");
      if (turn !== this.turn) return;
      if (made) {
        this.scene = null;
        this.use(new made.CanvasRenderer(run, theme), false);
      } else {
        this.change("tasks");
      }
      return;
    }
    const scene = this.mode === "jobs" ? sceneOfJobs(run) : sceneOfTasks(run, this.opened);
    const laid = scene.boxes.length <= MOST_BOXES && (await this.laidOut(scene));
    if (turn !== this.turn) return;
    if (!laid) placeByOwn(scene);
    this.scene = scene;
    this.use(new SvgRenderer(run, scene), keep);
  }

  private async laidOut(scene: Scene): Promise<boolean> {
    try {
      return placeByPlain(scene, await this.engine.plain(dotOf(scene)));
    } catch {
      return false; // not there, not allowed or too slow: our own layout is
    }
  }

  private use(renderer: Renderer, keep: boolean): void {
    const height = Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, renderer.height + 40));
    // Opened boxes make room downward, never take it away from under a reader.
    if (!keep || height > this.window.clientHeight) this.window.style.height = `${Math.round(height)}px`;
    this.renderer = renderer;
    this.window.setAttribute("data-drawn", this.scene ? this.mode : "canvas");
    this.stage.show(renderer, keep);
    renderer.mark(this.marks);
  }

  update(): void {
    this.renderer?.paint();
  }

  private tap(target: Target | null, toggles: number, twice: boolean): void {
    this.window.focus({ preventScroll: true });
    if (toggles >= 0) this.toggle(toggles);
    else if (target && "task" in target && twice) this.toggle(target.task);
    else this.board.select(target, true);
  }

  private hover(target: Target | null): void {
    const words = target ? this.words(target) : "";
    if (this.window.title !== words) this.window.title = words;
  }

  words(target: Target): string {
    const { run } = this.board;
    if ("task" in target) return run.taskTitle(target.task);
    const parts = [run.label(target.job), stateName(run.perJob.state[target.job]), run.workerName(target.job)];
    return [...parts, run.lasted(target.job, this.board.now())].filter(Boolean).join(", ");
  }

  /** Opens or closes a task's box in its place. */
  toggle(task: number): void {
    if (!this.opened.delete(task)) this.opened.add(task);
    void this.show(true);
  }

  /** Marks what is selected with all that leads to it and follows from it; else what a search has found. */
  mark(found: Int32Array | null): void {
    const { selected } = this.board;
    if (selected) this.marks = "job" in selected ? this.marksOfJob(selected.job) : this.marksOfTask(selected.task);
    else if (found) this.marks = this.marksOfFound(found);
    else this.marks = UNMARKED;
    this.renderer?.mark(this.marks);
  }

  private marksOfJob(job: number): Marks {
    const { run } = this.board;
    const jobs = new Uint8Array(run.jobs).fill(DIM);
    for (const way of ["up", "down"] as const) for (const other of run.reach(job, way)) jobs[other] = PATH;
    jobs[job] = SELECTED;
    return { jobs, tasks: this.tasksOf(jobs) };
  }

  private marksOfTask(task: number): Marks {
    const { run } = this.board;
    const tasks = new Uint8Array(run.tasks.length).fill(DIM);
    const scene = this.scene && this.mode === "tasks" ? this.scene : sceneOfTasks(run, new Set());
    for (const way of ["up", "down"] as const) for (const other of tasksFrom(scene, task, way)) tasks[other] = PATH;
    tasks[task] = SELECTED;
    // The jobs of the selected task are all on its path: a ring is for one of them.
    return { jobs: jobsOf(run.perJob.task, tasks), tasks };
  }

  private marksOfFound(found: Int32Array): Marks {
    const jobs = new Uint8Array(this.board.run.jobs).fill(DIM);
    for (const job of found) jobs[job] = NORMAL;
    return { jobs, tasks: this.tasksOf(jobs) };
  }

  /** A task stands out as much as the foremost of its jobs. */
  private tasksOf(jobs: Uint8Array): Uint8Array {
    const { run } = this.board;
    const tasks = new Uint8Array(run.tasks.length).fill(DIM);
    for (let job = 0; job < run.jobs; job++) {
      const task = run.perJob.task[job];
      if (jobs[job] === NORMAL && tasks[task] === DIM) tasks[task] = NORMAL;
      else if (jobs[job] > tasks[task]) tasks[task] = Math.min(jobs[job], PATH);
    }
    return tasks;
  }

  /** The next one that way: along the lines where there are any. */
  walk(way: Way): void {
    const { selected, run } = this.board;
    if (!this.renderer) return;
    const first: Target = this.mode === "tasks" ? { task: 0 } : { job: 0 };
    const linked = this.mode === "jobs" ? this.linked(jobOf(selected), way) : null;
    const next = selected ? (linked ?? this.renderer.beside(selected, way)) : run.jobs ? first : null;
    if (!next) return;
    this.board.select(next, false);
    this.board.announce(this.words(next));
  }

  private linked(job: number, way: Way): Target | null {
    const { run } = this.board;
    if (job < 0 || (way !== "left" && way !== "right")) return null;
    const near = way === "left" ? run.parentsOf(job, run.leading) : run.childrenOf(job);
    return near.length ? { job: near[0] } : null;
  }

  reveal(target: Target): void {
    const rect = this.renderer?.rect(target);
    if (rect) this.stage.reveal(rect);
  }

  zoom(by: number): void {
    this.stage.zoom(by);
  }

  fit(): void {
    this.stage.fit();
  }

  dispose(): void {
    this.turn++;
    this.stage.dispose();
  }
}

function jobsOf(taskOf: Int32Array, tasks: Uint8Array): Uint8Array {
  return Uint8Array.from(taskOf, (task) => Math.min(tasks[task], PATH));
}
