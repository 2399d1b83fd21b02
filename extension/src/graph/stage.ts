// The window onto a graph: pan, zoom and pinch. A wheel zooms only with Ctrl or when the graph has the focus, so
// that a page scrolls past it as past anything else.

import type { Renderer, View } from "./renderer";
import type { Rect, Target } from "./scene";

const MOST = 4;
const LEAST = 0.01;
const MARGIN = 14;
/** A pointer that moved less than this has clicked. */
const STILL = 4;

export interface Taps {
  tap(target: Target | null, toggles: number, twice: boolean): void;
  hover(target: Target | null): void;
}

export class Stage {
  private renderer: Renderer | null = null;
  private view: View = { x: 0, y: 0, scale: 1 };
  private size = { w: 0, h: 0 };
  /** Once a reader has moved the graph, it stays where they put it. */
  private own = false;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private moved = 0;
  private lastTap = 0;
  private readonly watcher: ResizeObserver;

  constructor(
    private readonly element: HTMLElement,
    private readonly taps: Taps,
    private readonly focused: () => boolean,
  ) {
    const on = <K extends keyof HTMLElementEventMap>(name: K, tell: (event: HTMLElementEventMap[K]) => void) =>
      element.addEventListener(name, tell, { passive: false });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.pointers.delete(event.pointerId));
    on("wheel", (event) => this.wheel(event));
    // An output may be laid out before it has a width; a graph fitted to none would be a dot.
    this.watcher = new ResizeObserver(() => this.resized());
    this.watcher.observe(element);
  }

  show(renderer: Renderer, keep: boolean): void {
    this.renderer?.dispose();
    this.renderer = renderer;
    this.element.prepend(renderer.element);
    this.measure();
    if (keep && this.own) this.apply();
    else this.fit();
  }

  private measure(): void {
    this.size = { w: this.element.clientWidth, h: this.element.clientHeight };
  }

  private resized(): void {
    this.measure();
    if (this.own) this.apply();
    else this.fit();
  }

  private apply(): void {
    if (this.size.w && this.size.h) this.renderer?.look(this.view, this.size);
  }

  /** All of the graph, not larger than life. */
  fit(): void {
    if (!this.renderer) return;
    const { width, height } = this.renderer;
    const room = { w: this.size.w - 2 * MARGIN, h: this.size.h - 2 * MARGIN };
    const scale = Math.max(LEAST, Math.min(1, room.w / (width || 1), room.h / (height || 1)));
    this.view = { scale, x: (this.size.w - width * scale) / 2, y: (this.size.h - height * scale) / 2 };
    this.own = false;
    this.apply();
  }

  zoom(by: number, x = this.size.w / 2, y = this.size.h / 2): void {
    const scale = Math.min(MOST, Math.max(LEAST, this.view.scale * by));
    const ratio = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.own = true;
    this.apply();
  }

  pan(dx: number, dy: number): void {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.own = true;
    this.apply();
  }

  /** Moves as little as shows the rectangle. */
  reveal(rect: Rect): void {
    const { x, y, scale } = this.view;
    const [left, top] = [rect.x * scale + x, rect.y * scale + y];
    const [right, bottom] = [left + rect.w * scale, top + rect.h * scale];
    const dx = left < MARGIN ? MARGIN - left : Math.min(0, this.size.w - MARGIN - right);
    const dy = top < MARGIN ? MARGIN - top : Math.min(0, this.size.h - MARGIN - bottom);
    if (dx || dy) this.pan(dx, dy);
  }

  private point(event: MouseEvent): { x: number; y: number } {
    const corner = this.element.getBoundingClientRect();
    return { x: event.clientX - corner.left, y: event.clientY - corner.top };
  }

  private under({ x, y }: { x: number; y: number }): [number, number] {
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0 || (event.target as Element).closest("button")) return;
    this.pointers.set(event.pointerId, this.point(event));
    this.element.setPointerCapture(event.pointerId);
    this.moved = 0;
  }

  private move(event: PointerEvent): void {
    const now = this.point(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.taps.hover(this.renderer?.at(...this.under(now)) ?? null);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    this.moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.moved < STILL) return;
    if (other) {
      const [was, is] = [before, now].map((point) => Math.hypot(point.x - other.x, point.y - other.y));
      this.zoom(is / (was || 1), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      this.pan(now.x - before.x, now.y - before.y);
    }
  }

  private up(event: PointerEvent): void {
    if (!this.pointers.delete(event.pointerId) || this.moved >= STILL || !this.renderer) return;
    const at = this.under(this.point(event));
    const twice = event.timeStamp - this.lastTap < 350;
    this.lastTap = event.timeStamp;
    this.taps.tap(this.renderer.at(...at), this.renderer.togglesAt(...at), twice);
  }

  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey && !this.focused()) return;
    event.preventDefault();
    const { x, y } = this.point(event);
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), x, y);
  }

  dispose(): void {
    this.watcher.disconnect();
    this.renderer?.dispose();
  }
}
