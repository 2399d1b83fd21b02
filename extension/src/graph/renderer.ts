// What every way of drawing a graph offers.

import type { Rect, Target } from "./scene";

/** How the graph is seen: `x`, `y` of the scene's corner on the screen, and how large a point is. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

/** How a job or a task stands to what is selected, or found. */
export const NORMAL = 0;
export const DIM = 1;
export const PATH = 2;
export const SELECTED = 3;

export interface Marks {
  /** An entry a job, an entry a task; empty when nothing is marked. */
  jobs: Uint8Array;
  tasks: Uint8Array;
}

export const UNMARKED: Marks = { jobs: new Uint8Array(0), tasks: new Uint8Array(0) };

export interface Renderer {
  readonly element: HTMLElement | SVGElement;
  readonly width: number;
  readonly height: number;
  /** States have changed: nothing moves, colours and counts do. */
  paint(): void;
  mark(marks: Marks): void;
  look(view: View, size: { w: number; h: number }): void;
  at(x: number, y: number): Target | null;
  /** True at the sign that opens and closes a task. */
  togglesAt(x: number, y: number): number;
  rect(target: Target): Rect | null;
  /** The nearest to it that way, for arrow keys. */
  beside(target: Target, way: Way): Target | null;
  dispose(): void;
}

export type Way = "left" | "right" | "up" | "down";

/** The nearest of the rectangles in that direction; sideways distance counts more. */
export function nearest(from: Rect, rects: Iterable<[Target, Rect]>, way: Way): Target | null {
  const [sx, sy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[way];
  const [cx, cy] = [from.x + from.w / 2, from.y + from.h / 2];
  let best: Target | null = null;
  let least = Infinity;
  for (const [target, rect] of rects) {
    const [dx, dy] = [rect.x + rect.w / 2 - cx, rect.y + rect.h / 2 - cy];
    const along = dx * sx + dy * sy;
    if (along <= 1) continue;
    const cost = along + 3 * Math.abs(dx * sy + dy * sx);
    if (cost < least) [least, best] = [cost, target];
  }
  return best;
}
