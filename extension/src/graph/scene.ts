// What a graph is made of before anybody draws it, and where things are.

import type { EdgeKind } from "../messages";
import type { Run } from "../run/run";

export interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** What can be selected in a graph. */
export type Target = { job: number } | { task: number };

/** The job that is the target; -1 when none is. */
export function jobOf(target: Target | null): number {
  return target && "job" in target ? target.job : -1;
}

export interface Box extends Rect {
  kind: "job" | "task" | "opened";
  task: number;
  /** Its one job, or those that an opened task shows. */
  jobs: readonly number[];
}

export interface Link {
  from: number;
  to: number;
  kind: EdgeKind;
  /** How many jobs are joined. */
  count: number;
  /** Outline of an SVG path; a straight way is taken without one. */
  path?: string;
}

export interface Scene {
  boxes: Box[];
  links: Link[];
  width: number;
  height: number;
}

export const MOST_EACH = 30;
/** Jobs that an opened task shows as cells; more of them are for the canvas. */
export const MOST_CELLS = 240;
export const CELL = 14;
export const CELL_GAP = 3;
const PAD = 10;
const HEADER = 40;

export const JOB_HEIGHT = 30;
export const TASK_HEIGHT = 58;
export const LONGEST_LABEL = 26;

/** The text with its middle left out when it is too long: `[17]` at the end tells jobs apart. */
export function shortened(text: string, longest = LONGEST_LABEL): string {
  if (text.length <= longest) return text;
  const tail = Math.floor((longest - 1) / 2);
  return `${text.slice(0, longest - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** About as wide as the text is in the graph's font. */
function breadth(text: string): number {
  return text.length * 7.2;
}

/** Columns of cells that make a block of so many about twice as wide as high. */
export function columnsOf(cells: number): number {
  return Math.max(1, Math.ceil(Math.sqrt(cells * 2)));
}

export function jobBox(run: Run, job: number): Box {
  const w = Math.max(84, breadth(shortened(run.label(job))) + 40);
  return { kind: "job", task: run.perJob.task[job], jobs: [job], x: 0, y: 0, w, h: JOB_HEIGHT };
}

export function taskBox(run: Run, task: number): Box {
  const w = Math.max(158, breadth(shortened(run.tasks[task].task)) + 46);
  return { kind: "task", task, jobs: [], x: 0, y: 0, w, h: TASK_HEIGHT };
}

export function openedBox(run: Run, task: number, jobs: readonly number[]): Box {
  const shown = jobs.slice(0, MOST_CELLS);
  const columns = columnsOf(shown.length);
  const rows = Math.ceil(shown.length / columns);
  const more = jobs.length > shown.length ? 16 : 0;
  const w = Math.max(taskBox(run, task).w, columns * (CELL + CELL_GAP) - CELL_GAP + 2 * PAD);
  const h = HEADER + rows * (CELL + CELL_GAP) - CELL_GAP + PAD + more;
  return { kind: "opened", task, jobs: shown, x: 0, y: 0, w, h };
}

/** Where in its opened box the cell stands. */
export function cellRect(box: Box, index: number): Rect {
  const columns = columnsOf(box.jobs.length);
  const x = box.x + PAD + (index % columns) * (CELL + CELL_GAP);
  const y = box.y + HEADER + Math.floor(index / columns) * (CELL + CELL_GAP);
  return { x, y, w: CELL, h: CELL };
}

export function within(rect: Rect, x: number, y: number): boolean {
  return x >= rect.x && x <= rect.x + rect.w && y >= rect.y && y <= rect.y + rect.h;
}

/** The sign that opens and closes a task's box. */
export function toggleRect(box: Box): Rect {
  return { x: box.x + box.w - 26, y: box.y + 2, w: 24, h: 24 };
}

/** What is at the point. */
export function targetAt(scene: Scene, x: number, y: number): Target | null {
  for (const box of scene.boxes) {
    if (!within(box, x, y)) continue;
    if (box.kind === "job") return { job: box.jobs[0] };
    if (box.kind === "opened") {
      const cell = box.jobs.findIndex((_, index) => within(cellRect(box, index), x, y));
      if (cell >= 0) return { job: box.jobs[cell] };
    }
    return { task: box.task };
  }
  return null;
}

/** Where the target is; null when the scene does not show it. */
export function rectOf(scene: Scene, target: Target, taskOfJob: (job: number) => number): Rect | null {
  if ("task" in target) return scene.boxes.find((box) => box.kind !== "job" && box.task === target.task) ?? null;
  for (const box of scene.boxes) {
    const index = box.jobs.indexOf(target.job);
    if (index >= 0) return box.kind === "job" ? box : cellRect(box, index);
  }
  return scene.boxes.find((box) => box.kind !== "job" && box.task === taskOfJob(target.job)) ?? null;
}
