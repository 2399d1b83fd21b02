// Draws all jobs, however many, on a canvas: a cell each, in the blocks of blocks.ts.

import { SEEN_ONLY, h } from "../dom";
import { STATES } from "../messages";
import type { Run } from "../run/run";
import { GLYPHS, FAILED, RUNNING, WAITING, SKIPPED, CANCELLED, count } from "../run/words";
import type { Theme } from "../theme";
import { SIDE, STEP, jobAt, planeOf, type Block, type Plane } from "./blocks";
import { DIM, PATH, SELECTED, UNMARKED, nearest, type Marks, type Renderer, type View, type Way } from "./renderer";
import { shortened, type Rect, type Target } from "./scene";

/** Cells are this large on the screen before they carry glyphs. */
const GLYPHS_FROM = 9;
const DIMMED = 0.22;
/** Links drawn as curves; above this, straight lines, of which the canvas draws many more in a frame. */
const MOST_CURVES = 1500;

export class CanvasRenderer implements Renderer {
  readonly element: HTMLCanvasElement;
  readonly plane: Plane;
  private readonly pen: CanvasRenderingContext2D;
  private view: View = { x: 0, y: 0, scale: 1 };
  private size = { w: 0, h: 0 };
  private marks: Marks = UNMARKED;

  constructor(
    private readonly run: Run,
    private readonly theme: Theme,
  ) {
    this.plane = planeOf(run);
    this.element = h("canvas.elf-canvas", SEEN_ONLY);
    this.pen = this.element.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  }

  get width(): number {
    return this.plane.width;
  }

  get height(): number {
    return this.plane.height;
  }

  look(view: View, size: { w: number; h: number }): void {
    this.view = view;
    const ratio = globalThis.devicePixelRatio || 1;
    const [w, h] = [Math.round(size.w * ratio), Math.round(size.h * ratio)];
    if (this.element.width !== w || this.element.height !== h) [this.element.width, this.element.height] = [w, h];
    this.size = size;
    this.paint();
  }

  mark(marks: Marks): void {
    this.marks = marks;
    this.paint();
  }

  paint(): void {
    const { pen, view, size } = this;
    const ratio = globalThis.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.globalAlpha = 1;
    pen.fillStyle = this.theme.colours.bg;
    pen.fillRect(0, 0, size.w, size.h);
    pen.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    this.links();
    this.titles();
    for (const dim of this.marks.jobs.length ? [true, false] : [false]) {
      for (const code of STATES.keys()) this.cells(code, dim);
    }
    this.selection();
  }

  /** True for a part of the plane that is on the screen. */
  private sees(left: number, top: number, w: number, h: number): boolean {
    const { x, y, scale } = this.view;
    if (left * scale + x > this.size.w || (left + w) * scale + x < 0) return false;
    return top * scale + y <= this.size.h && (top + h) * scale + y >= 0;
  }

  private blocks(): Block[] {
    return this.plane.blocks.filter(({ x, y, w, h }) => this.sees(x, y, w, h));
  }

  private links(): void {
    const { pen, plane, theme, view } = this;
    const curved = plane.links.length <= MOST_CURVES;
    pen.strokeStyle = theme.colours.line;
    for (const { kind } of this.run.perJob.edges) {
      pen.setLineDash(kind.dash);
      pen.lineWidth = kind.width * Math.max(1, 0.65 / view.scale);
      pen.beginPath();
      for (const link of plane.links) {
        if (link.kind !== kind) continue;
        const [from, to] = [plane.blocks[link.from], plane.blocks[link.to]];
        const [x1, y1, x2, y2] = [from.x + from.w, from.y + (from.h + plane.title) / 2, to.x - 3, to.y + (to.h + plane.title) / 2];
        if (!this.sees(Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1))) continue;
        const bend = Math.max(12, (x2 - x1) / 2);
        pen.moveTo(x1, y1);
        if (curved) pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
        else pen.lineTo(x2, y2);
      }
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  /** Names above blocks, as large on the screen at any scale, where there is room for them. */
  private titles(): void {
    const { pen, plane, theme, view, run } = this;
    pen.fillStyle = theme.colours.fg;
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    const most = Math.min(plane.title * 0.75, Math.max(12, 12 / view.scale));
    for (const block of this.blocks()) {
      const many = block.jobs.length > 1;
      if (!many && view.scale < 0.8) continue;
      const name = run.tasks[block.task]?.task ?? "";
      const title = many ? `${name} × ${count(block.jobs.length)}` : run.label(block.jobs[0]);
      // A name may be half as wide again as its block; the neighbours leave that much room.
      const size = Math.min(most, Math.max(12, (block.w * 1.5) / (title.length * 0.55)));
      pen.font = `${size}px system-ui, sans-serif`;
      pen.fillText(shortened(title, 30), block.x, block.y + plane.title * 0.75);
    }
  }

  /** All cells of a state that stand back, or all others. */
  private cells(code: number, dim: boolean): void {
    const { pen, plane, theme, view, run } = this;
    const { state } = run.perJob;
    const colour = theme.colours[STATES[code]];
    const glyphs = SIDE * view.scale >= GLYPHS_FROM && !dim;
    pen.globalAlpha = dim ? DIMMED : 1;
    pen.fillStyle = pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    const hollow = code === WAITING || code === SKIPPED || code === CANCELLED;
    for (const block of this.blocks()) {
      for (const job of block.jobs) {
        if (state[job] !== code) continue;
        if ((this.marks.jobs[job] === DIM) !== dim) continue;
        const [x, y] = [plane.x[job], plane.y[job]];
        if (!this.sees(x, y, SIDE, SIDE)) continue;
        if (hollow) pen.strokeRect(x + 1, y + 1, SIDE - 2, SIDE - 2);
        else if (code === FAILED) pen.fillRect(x - 1.5, y - 1.5, SIDE + 3, SIDE + 3);
        else pen.fillRect(x, y, SIDE, SIDE);
      }
    }
    if (glyphs) this.glyphs(code, hollow ? colour : theme.colours.bg);
  }

  private glyphs(code: number, colour: string): void {
    if (code !== FAILED && code !== RUNNING && code !== SKIPPED && code !== CANCELLED) return;
    const { pen, plane, run } = this;
    pen.fillStyle = colour;
    pen.font = "bold 10px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const glyph = GLYPHS[STATES[code]];
    for (let job = 0; job < run.jobs; job++) {
      if (run.perJob.state[job] !== code) continue;
      const [x, y] = [plane.x[job], plane.y[job]];
      if (!this.sees(x, y, SIDE, SIDE)) continue;
      if (this.marks.jobs[job] === DIM) continue;
      pen.fillText(glyph, x + SIDE / 2, y + SIDE / 2 + 0.5);
    }
  }

  /** Rings around what is selected, and its own edges rather than its block's. */
  private selection(): void {
    const { pen, plane, theme, view, run, marks } = this;
    pen.globalAlpha = 1;
    if (!marks.jobs.length) return;
    pen.strokeStyle = theme.colours.accent;
    const chosen = marks.jobs.indexOf(SELECTED);
    if (chosen < 0) return;
    pen.lineWidth = Math.max(2.5, 2 / view.scale);
    pen.strokeRect(plane.x[chosen] - 3, plane.y[chosen] - 3, SIDE + 6, SIDE + 6);
    pen.lineWidth = Math.max(1.5, 1.2 / view.scale);
    pen.beginPath();
    const join = (parent: number, child: number) => {
      pen.moveTo(plane.x[parent] + SIDE, plane.y[parent] + SIDE / 2);
      pen.lineTo(plane.x[child], plane.y[child] + SIDE / 2);
    };
    for (const parent of run.parentsOf(chosen, run.perJob.edges)) join(parent, chosen);
    const children = run.childrenOf(chosen);
    // A thousand lines out of one cell would hide what they lead to.
    for (const child of children.subarray(0, 200)) if (marks.jobs[child] === PATH) join(chosen, child);
    pen.stroke();
  }

  at(x: number, y: number): Target | null {
    const job = jobAt(this.plane, x, y);
    return job < 0 ? null : { job };
  }

  togglesAt(): number {
    return -1;
  }

  rect(target: Target): Rect | null {
    if ("task" in target) return this.plane.blocks.find((block) => block.task === target.task) ?? null;
    return { x: this.plane.x[target.job], y: this.plane.y[target.job], w: SIDE, h: SIDE };
  }

  beside(target: Target, way: Way): Target | null {
    const from = this.rect(target);
    return from && nearest(from, this.targets(), way);
  }

  private *targets(): Generator<[Target, Rect]> {
    const { x, y } = this.plane;
    for (let job = 0; job < this.run.jobs; job++) yield [{ job }, { x: x[job], y: y[job], w: STEP, h: STEP }];
  }

  dispose(): void {
    this.element.remove();
  }
}
