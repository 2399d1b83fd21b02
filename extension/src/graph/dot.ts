// What Graphviz is asked, and its answer read. No text of anybody goes in: boxes are sizes, names are numbers.

import { edgesBetween, layered, sizesOf } from "./layered";
import type { Link, Rect, Scene } from "./scene";

const DOTS = 72; // points an inch: Graphviz measures in inches, the page in points

/** The scene in Graphviz's language. Attributes are these few only: some others have let it run for minutes. */
export function dotOf(scene: Scene): string {
  const lines = ["digraph g {", 'rankdir=LR; nodesep=0.25; ranksep=0.6; node [shape=box, fixedsize=true, label=""];'];
  lines.push("edge [arrowhead=none];");
  scene.boxes.forEach(({ w, h }, index) => {
    lines.push(`n${index} [width=${(w / DOTS).toFixed(3)}, height=${(h / DOTS).toFixed(3)}];`);
  });
  scene.links.forEach(({ from, to, kind }, index) => {
    if (kind.leads) lines.push(`n${from} -> n${to} [class=${index}${kind.name === "value" ? "" : ", weight=0"}];`);
  });
  lines.push("}");
  return lines.join("\n");
}

/** Puts Graphviz's answer, of its format `plain`, into the scene; true when it told of every box. */
export function placeByPlain(scene: Scene, plain: string): boolean {
  const byEnds = new Map<string, Link[]>();
  for (const link of scene.links.filter(({ kind }) => kind.leads)) {
    const key = `n${link.from} n${link.to}`;
    byEnds.set(key, [...(byEnds.get(key) ?? []), link]);
  }
  let placed = 0;
  for (const line of plain.split("\n")) {
    const words = line.split(" ");
    if (words[0] === "graph") {
      scene.width = Number(words[2]) * DOTS;
      scene.height = Number(words[3]) * DOTS;
    } else if (words[0] === "node") {
      const box = scene.boxes[Number(words[1].slice(1))];
      box.x = Number(words[2]) * DOTS - box.w / 2;
      box.y = scene.height - Number(words[3]) * DOTS - box.h / 2;
      placed++;
    } else if (words[0] === "edge") {
      const link = byEnds.get(`${words[1]} ${words[2]}`)?.shift();
      if (link) link.path = pathOf(words.slice(4, 4 + 2 * Number(words[3])).map(Number), scene.height);
    }
  }
  curve(scene);
  return placed === scene.boxes.length;
}

/** A B-spline's control points as an SVG path. */
function pathOf(inches: number[], height: number): string {
  const points: string[] = [];
  for (let at = 0; at + 1 < inches.length; at += 2) {
    points.push(`${(inches[at] * DOTS).toFixed(1)} ${(height - inches[at + 1] * DOTS).toFixed(1)}`);
  }
  return `M${points[0]} C${points.slice(1).join(" ")}`;
}

/** The same without Graphviz. */
export function placeByOwn(scene: Scene): void {
  const { boxes, links } = scene;
  const placed = layered(sizesOf(boxes), edgesBetween(links));
  boxes.forEach((box, index) => {
    box.x = placed.x[index];
    box.y = placed.y[index];
  });
  curve(scene);
  scene.width = placed.width;
  scene.height = placed.height;
}

/** Ways for the links that have none. */
function curve({ boxes, links }: Scene): void {
  for (const link of links) link.path ??= wayBetween(boxes[link.from], boxes[link.to]);
}

/** From side to side; around the left sides to a box that is not further right. */
function wayBetween(from: Rect, to: Rect): string {
  const [y1, y2, x2] = [from.y + from.h / 2, to.y + to.h / 2, to.x];
  const onward = x2 > from.x + from.w;
  const x1 = onward ? from.x + from.w : from.x;
  const bend = onward ? Math.max(20, (x2 - x1) / 2) : 24;
  return `M${x1} ${y1} C${x1 + (onward ? bend : -bend)} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}
