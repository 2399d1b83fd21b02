// Who did what when: a lane for each worker, a bar for each job.

import type { Board } from "../board";
import { h } from "../dom";
import { STATES } from "../messages";
import { RUNNING, duration, plural, stateName } from "../run/words";

const LANE = 18;
const LEAST_LANE = 6;
const MOST_HEIGHT = 260;
const LEFT = 96;
const AXIS = 20;
const REDRAW_MS = 250;

interface Span {
  from: number;
  to: number;
}

export class Lanes {
  private readonly canvas = h("canvas.elf-timeline", { role: "img" });
  private readonly pen: CanvasRenderingContext2D | null;
  private readonly watcher: ResizeObserver;
  private drawnAt = 0;
  private key = "";

  constructor(
    private readonly board: Board,
    private readonly box: HTMLElement,
  ) {
    this.pen = this.canvas.getContext("2d");
    box.append(this.canvas);
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.box);
  }

  /** Shows the run as it is now. */
  update(): void {
    const now = performance.now();
    if (now - this.drawnAt < REDRAW_MS) return;
    const { run } = this.board;
    const key = `${run.version} ${run.totals[RUNNING] ? Math.floor(now / REDRAW_MS) : ""}`;
    if (key === this.key) return;
    this.key = key;
    this.draw();
  }

  private span(): Span {
    const { started, ended } = this.board.run.perJob;
    let [from, to] = [Infinity, -Infinity];
    for (let job = 0; job < started.length; job++) {
      if (!(started[job] > 0)) continue;
      from = Math.min(from, started[job]);
      to = Math.max(to, this.endOf(job, ended[job]));
    }
    return { from, to: Math.max(to, from + 0.001) };
  }

  private endOf(job: number, ended: number): number {
    const { run } = this.board;
    return run.perJob.state[job] === RUNNING || Number.isNaN(ended) ? this.board.now() : ended;
  }

  private get lane(): number {
    return Math.max(LEAST_LANE, Math.min(LANE, (MOST_HEIGHT - AXIS) / Math.max(1, this.board.run.workers.length)));
  }

  /** Fits the canvas to its box; how wide that is. */
  private fitted(): { width: number; height: number } {
    const width = this.box.clientWidth;
    const height = Math.ceil(this.lane * this.board.run.workers.length) + AXIS;
    const ratio = globalThis.devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    this.canvas.style.height = `${height}px`;
    this.pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height };
  }

  private draw(): void {
    const { pen, board } = this;
    if (!pen || !this.box.clientWidth) return; // folded in it has no width, and opened it is resized
    this.drawnAt = performance.now();
    const { run, theme } = board;
    const { width, height } = this.fitted();
    const span = this.span();
    const { lane } = this;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = theme.colours.muted;
    if (lane >= 11) run.workers.forEach((name, index) => pen.fillText(name, 0, (index + 0.5) * lane, LEFT - 8));
    if (!Number.isFinite(span.from)) return;
    this.axis(span, width, height);
    const scale = (width - LEFT) / (span.to - span.from);
    const { started, ended, worker, state } = run.perJob;
    for (let job = 0; job < run.jobs; job++) {
      if (!(started[job] > 0) || worker[job] < 0) continue;
      pen.fillStyle = theme.colours[STATES[state[job]]];
      const x = LEFT + (started[job] - span.from) * scale;
      const w = Math.max(1, (this.endOf(job, ended[job]) - started[job]) * scale - 0.5);
      pen.fillRect(x, worker[job] * lane + 1, w, lane - 2);
    }
    const length = duration(span.to - span.from);
    const words = `timeline: ${plural(run.jobs, "job")} on ${plural(run.workers.length, "worker")} in ${length}`;
    this.canvas.setAttribute("aria-label", words);
  }

  private axis(span: Span, width: number, height: number): void {
    const { pen, board } = this;
    if (!pen) return;
    pen.strokeStyle = board.theme.colours.line;
    pen.beginPath();
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const x = LEFT + share * (width - LEFT - 1) + 0.5;
      pen.moveTo(x, 0);
      pen.lineTo(x, height - AXIS + 3);
      pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      pen.fillText(duration(share * (span.to - span.from)), x, height - AXIS / 2 + 1);
    }
    pen.stroke();
    pen.textAlign = "left";
  }

  private jobAt(event: MouseEvent): number {
    const { run } = this.board;
    const { started, ended, worker } = run.perJob;
    const corner = this.canvas.getBoundingClientRect();
    const span = this.span();
    const slot = Math.floor((event.clientY - corner.top) / this.lane);
    const second = (span.to - span.from) / Math.max(1, corner.width - LEFT);
    const at = span.from + (event.clientX - corner.left - LEFT) * second;
    for (let job = 0; job < run.jobs; job++) {
      if (worker[job] === slot && started[job] <= at + second && this.endOf(job, ended[job]) >= at - second) return job;
    }
    return -1;
  }

  private click(event: MouseEvent): void {
    const job = this.jobAt(event);
    if (job >= 0) this.board.select({ job }, true);
  }

  private hover(event: MouseEvent): void {
    const job = this.jobAt(event);
    const { run } = this.board;
    const seconds = job < 0 ? 0 : run.elapsed(job, this.board.now());
    this.canvas.title = job < 0 ? "" : `${run.label(job)}, ${stateName(run.perJob.state[job])}, ${duration(seconds)}`;
  }

  dispose(): void {
    this.watcher.disconnect();
  }
}
