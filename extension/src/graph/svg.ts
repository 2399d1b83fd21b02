// Draws a graph of few boxes as SVG: jobs, or tasks with their counts. Elements are made once for a layout;
// a change of state sets a class and a few texts.

import { SEEN_ONLY, s, say } from "../dom";
import { STATES, type EdgeKind } from "../messages";
import type { Run } from "../run/run";
import { GLYPHS, count, stateName, WAITING, RUNNING, DONE, FAILED, SKIPPED, CANCELLED } from "../run/words";
import { UNMARKED, nearest, type Marks, type Renderer, type View, type Way } from "./renderer";
import { CELL, cellRect, rectOf, shortened, targetAt, toggleRect, within } from "./scene";
import type { Box, Rect, Scene, Target } from "./scene";

/** How a line of the kind is drawn. */
export function lineOf({ width, dash }: EdgeKind): Record<string, string | number> {
  return { "stroke-width": width, "stroke-dasharray": dash.join(" ") };
}

/** Names of arrow tips count up: a page may hold several boards, and each has its own. */
let made = 0;

const MARKS = ["", " elf-dim", " elf-path", " elf-selected"];
/** The order of states in a bar: what is over first. */
export const BAR_ORDER = [DONE, FAILED, SKIPPED, CANCELLED, RUNNING, WAITING];

interface Drawn {
  box: Box;
  group: SVGGElement;
  paint: () => void;
}

export class SvgRenderer implements Renderer {
  readonly element: SVGSVGElement;
  readonly width: number;
  readonly height: number;
  private readonly drawn: Drawn[];
  private readonly lines: SVGPathElement[];
  private readonly world: SVGGElement;
  private marks: Marks = UNMARKED;

  constructor(
    private readonly run: Run,
    private readonly scene: Scene,
  ) {
    this.width = scene.width;
    this.height = scene.height;
    const tipId = `elf-tip-${++made}`;
    this.lines = scene.links.map((link) =>
      s("path", { ...lineOf(link.kind), d: link.path, class: `elf-edge elf-edge-${link.kind.name}`, "marker-end": `url(#${tipId})` }),
    );
    this.drawn = scene.boxes.map((box) => (box.kind === "job" ? this.job(box) : this.task(box)));
    const tip = s("path.elf-tip", { d: "M0 0 L8 4 L0 8 z" });
    const tips = { id: tipId, viewBox: "0 0 8 8", refX: 8, refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto" };
    this.world = s("g", {}, ...this.lines, ...this.drawn.map(({ group }) => group));
    this.element = s("svg.elf-svg", SEEN_ONLY, s("defs", {}, s("marker", tips, tip)), this.world);
    this.paint();
  }

  private job(box: Box): Drawn {
    const [job] = box.jobs;
    const glyph = s("text.elf-node-glyph", { x: 15, y: 20 });
    const group = s(
      "g",
      { transform: `translate(${box.x} ${box.y})` },
      s("rect.elf-node-box", { width: box.w, height: box.h, rx: 5 }),
      s("rect.elf-node-stripe", { width: 5, height: box.h - 8, x: 4, y: 4, rx: 2 }),
      glyph,
      s("text.elf-node-label", { x: 32, y: 20 }, shortened(this.run.label(job))),
    );
    return { box, group, paint: () => say(glyph, GLYPHS[stateName(this.run.perJob.state[job])]) };
  }

  private task(box: Box): Drawn {
    const words = s("text.elf-node-words", { x: 12, y: 36 });
    const title = s("text.elf-node-label", { x: 12, y: 19 }, shortened(this.run.tasks[box.task].task));
    const sign = toggleRect({ ...box, x: 0, y: 0 });
    const toggle = s("text.elf-node-toggle", { x: sign.x + 7, y: sign.y + 17 }, box.kind === "opened" ? "▾" : "▸");
    const frame = s("rect.elf-node-box", { width: box.w, height: box.h, rx: 6 });
    const group = s("g", { transform: `translate(${box.x} ${box.y})` }, frame, title, toggle, words);
    const paintJobs = box.kind === "opened" ? this.cells(box, group) : this.bar(box, group);
    const paint = () => {
      say(words, countsOf(this.run, box.task));
      paintJobs();
    };
    return { box, group, paint };
  }

  /** A bar under the counts, as wide as the box. */
  private bar(box: Box, group: SVGGElement): () => void {
    const width = box.w - 24;
    const parts = BAR_ORDER.map((code) => s("rect", { y: 45, height: 5, class: `elf-fill-${STATES[code]}` }));
    group.append(...parts);
    return () => {
      const tallies = this.run.talliesOf(box.task);
      const all = tallies.reduce((sum, number) => sum + number, 0) || 1;
      let x = 12;
      BAR_ORDER.forEach((code, index) => {
        const part = (tallies[code] / all) * width;
        parts[index].setAttribute("x", x.toFixed(1));
        parts[index].setAttribute("width", part.toFixed(1));
        x += part;
      });
    };
  }

  private cells(box: Box, group: SVGGElement): () => void {
    const cells = box.jobs.map((_, index) => {
      const { x, y } = cellRect({ ...box, x: 0, y: 0 }, index);
      const cell = s("g", { transform: `translate(${x} ${y})` }, s("rect", { width: CELL, height: CELL, rx: 3 }));
      cell.append(s("text.elf-cell-glyph", { x: CELL / 2, y: CELL - 3.5 }));
      return cell;
    });
    group.append(...cells);
    const tallies = this.run.talliesOf(box.task);
    const rest = tallies.reduce((sum, number) => sum + number, 0) - box.jobs.length;
    if (rest > 0) {
      const more = `and ${count(rest)} more: choose all jobs`;
      group.append(s("text.elf-node-words", { x: 12, y: box.h - 8 }, more));
    }
    return () => {
      cells.forEach((cell, index) => {
        const job = box.jobs[index];
        const name = stateName(this.run.perJob.state[job]);
        const mark = MARKS[this.marks.jobs[job] ?? 0];
        cell.setAttribute("class", `elf-cell elf-cell-${name}${mark}`);
        say(cell.lastElementChild as Element, name === "waiting" || name === "done" ? "" : GLYPHS[name]);
      });
    };
  }

  paint(): void {
    for (const { box, group, paint } of this.drawn) {
      paint();
      const name = box.kind === "job" ? stateName(this.run.perJob.state[box.jobs[0]]) : worst(this.run, box.task);
      const mark = box.kind === "job" ? this.marks.jobs[box.jobs[0]] : this.marks.tasks[box.task];
      const classes = `elf-node elf-node-${name}${MARKS[mark ?? 0]}`;
      if (group.getAttribute("class") !== classes) group.setAttribute("class", classes);
    }
  }

  mark(marks: Marks): void {
    this.marks = marks;
    this.scene.links.forEach((link, index) => {
      const mark = Math.min(this.markOf(this.scene.boxes[link.from]), this.markOf(this.scene.boxes[link.to]));
      this.lines[index].classList.toggle("elf-dim", mark === 1);
      this.lines[index].classList.toggle("elf-path", mark >= 2);
    });
    this.paint();
  }

  private markOf(box: Box): number {
    return (box.kind === "job" ? this.marks.jobs[box.jobs[0]] : this.marks.tasks[box.task]) ?? 0;
  }

  look({ x, y, scale }: View): void {
    this.world.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
  }

  at(x: number, y: number): Target | null {
    return targetAt(this.scene, x, y);
  }

  togglesAt(x: number, y: number): number {
    const box = this.scene.boxes.find((box) => box.kind !== "job" && within(toggleRect(box), x, y));
    return box ? box.task : -1;
  }

  rect(target: Target): Rect | null {
    return rectOf(this.scene, target, (job) => this.run.perJob.task[job]);
  }

  beside(target: Target, way: Way): Target | null {
    const from = this.rect(target);
    return from && nearest(from, this.targets(), way);
  }

  private *targets(): Generator<[Target, Rect]> {
    for (const box of this.scene.boxes) {
      if (box.kind === "job") yield [{ job: box.jobs[0] }, box];
      else yield [{ task: box.task }, { ...box, h: box.kind === "opened" ? 40 : box.h }];
      if (box.kind === "opened") {
        for (const [index, job] of box.jobs.entries()) yield [{ job }, cellRect(box, index)];
      }
    }
  }

  dispose(): void {
    this.element.remove();
  }
}

/** What a box shows of its jobs' states at its edge: the one that asks for most attention. */
export function worst(run: Run, task: number): string {
  const tallies = run.talliesOf(task);
  const code = [FAILED, RUNNING, WAITING, CANCELLED, SKIPPED, DONE].find((code) => tallies[code] > 0);
  return stateName(code ?? WAITING);
}

/** `312 of 1 000 · ✗ 4 · ● 6`. */
export function countsOf(run: Run, task: number): string {
  const tallies = run.talliesOf(task);
  const all = tallies.reduce((sum, number) => sum + number, 0);
  const parts = [`${count(tallies[DONE])} of ${count(all)} done`];
  if (tallies[FAILED]) parts.push(`${GLYPHS.failed} ${count(tallies[FAILED])}`);
  if (tallies[RUNNING]) parts.push(`${GLYPHS.running} ${count(tallies[RUNNING])}`);
  return parts.join(" · ");
}
