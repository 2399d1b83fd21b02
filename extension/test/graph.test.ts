import { describe, expect, it } from "vitest";
import { jobAt, planeOf } from "../src/graph/blocks";
import { dotOf, placeByOwn, placeByPlain } from "../src/graph/dot";
import { linksBetween, sceneOfJobs, sceneOfTasks, tasksFrom } from "../src/graph/grouping";
import { layered, rising, topological } from "../src/graph/layered";
import { nearest } from "../src/graph/renderer";
import { cellRect, jobOf, rectOf, shortened, targetAt, type Rect } from "../src/graph/scene";
import { EDGES } from "../src/messages";
import { random, randomJobs, runOf } from "./random";

const overlap = (a: Rect, b: Rect) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

function noOverlaps(rects: Rect[]): void {
  rects.forEach((a, index) => rects.slice(index + 1).forEach((b) => expect(overlap(a, b)).toBe(false)));
}

describe("the layered layout", () => {
  it.each(Array.from({ length: 30 }, (_, seed) => seed))("of random graph %d has no overlaps, and ranks that rise", (seed) => {
    const next = random(seed);
    const nodes = 1 + Math.floor(next() * 60);
    const ends = Array.from({ length: Math.floor(next() * 2 * nodes) }, () => [Math.floor(next() * nodes), Math.floor(next() * nodes)]);
    const forward = ends.filter(([a, b]) => a !== b).map(([a, b]) => (a < b ? [a, b] : [b, a]));
    const edges = { from: Int32Array.from(forward, ([a]) => a), to: Int32Array.from(forward, ([, b]) => b) };
    const sizes = { w: Float64Array.from({ length: nodes }, () => 20 + next() * 100), h: Float64Array.from({ length: nodes }, () => 10 + next() * 60) };
    const placed = layered(sizes, edges);
    for (const [a, b] of forward) expect(placed.rank[a]).toBeLessThan(placed.rank[b]);
    noOverlaps(Array.from({ length: nodes }, (_, n) => ({ x: placed.x[n], y: placed.y[n], w: sizes.w[n], h: sizes.h[n] - 0.001 })));
    expect(Math.min(...placed.y)).toBeCloseTo(0);
  });

  it("ends in a circle too, which tasks may form", () => {
    const edges = { from: Int32Array.of(0, 1, 2), to: Int32Array.of(1, 2, 0) };
    expect([...topological(3, edges)]).toEqual([0, 1, 2]);
    const placed = layered({ w: new Float64Array(3).fill(10), h: new Float64Array(3).fill(10) }, edges);
    expect([...placed.rank]).toEqual([0, 1, 2]);
  });

  it("pools what would fall", () => {
    expect([...rising(Float64Array.of(1, 5, 3, 9))]).toEqual([1, 4, 4, 9]);
  });
});

describe("blocks", () => {
  const fan = (amount: number) => [
    ...Array.from({ length: amount }, () => ({ task: 0 })),
    ...Array.from({ length: amount }, (_, job) => ({ task: 1, values: [job] })),
    { task: 2, values: Array.from({ length: amount }, (_, job) => amount + job) },
  ];

  it("gather a map over thousands", () => {
    const plane = planeOf(runOf(fan(2000)));
    expect(plane.blocks.map((block) => block.jobs.length)).toEqual([2000, 2000, 1]);
    expect(plane.width / plane.height).toBeLessThan(8);
    noOverlaps(plane.blocks);
  });

  it.each([1, 2, 3, 4, 5])("hold every job of random graph %d once, where it is found again", (seed) => {
    const jobs = randomJobs(seed, 80);
    const plane = planeOf(runOf(jobs));
    noOverlaps(plane.blocks.map((block) => ({ ...block, h: block.h - 0.001 })));
    jobs.forEach((_, job) => expect(jobAt(plane, plane.x[job] + 5, plane.y[job] + 5)).toBe(job));
    expect(jobAt(plane, -5, -5)).toBe(-1);
  });

  it("keep two depths of one task apart", () => {
    const plane = planeOf(runOf([{ task: 0 }, { task: 0, values: [0] }, { task: 0, values: [1] }]));
    expect(plane.blocks.length).toBe(3);
  });
});

describe("grouping", () => {
  const run = runOf([{ task: 0 }, { task: 0 }, { task: 1, values: [0] }, { task: 1, values: [1] }, { task: 2, values: [2, 3], after: [0] }]);

  it("counts what joins two tasks, values and order apart", () => {
    expect(linksBetween(run, run.perJob.task, 3)).toEqual([
      { from: 0, to: 1, kind: EDGES[0], count: 2 },
      { from: 1, to: 2, kind: EDGES[0], count: 2 },
      { from: 0, to: 2, kind: EDGES[1], count: 1 },
    ]);
  });

  it("draws turns, and lets them move nothing and lead nowhere", () => {
    const without = [{ task: 0 }, { task: 0 }, { task: 1, values: [0] }];
    const run = runOf(without.map((job, index) => ({ ...job, turn: index === 1 ? [0] : [] })));
    const [scene, plain] = [sceneOfJobs(run), sceneOfJobs(runOf(without))];
    [scene, plain].forEach(placeByOwn);
    expect(scene.boxes).toEqual(plain.boxes);
    const [way] = scene.links.filter(({ kind }) => kind.name === "turn");
    expect(way).toMatchObject({ from: 0, to: 1 });
    expect(way.path).toMatch(/^M0 /);
    expect(dotOf(scene)).not.toContain("n0 -> n1");
    expect([...run.reach(0, "down")]).toEqual([2]);
    expect(planeOf(run).blocks.length).toBe(planeOf(runOf(without)).blocks.length);
    expect(run.parentsOf(1, run.perJob.edges)).toEqual([0]);
  });

  it("has a line of its own for each kind of edge", () => {
    const looks = EDGES.map(({ width, dash }) => `${width} ${dash}`);
    expect(new Set(looks).size).toBe(EDGES.length);
    expect(new Set(EDGES.map(({ legend }) => legend)).size).toBe(EDGES.length);
  });

  it("shows an opened task's jobs as cells that can be hit", () => {
    const scene = sceneOfTasks(run, new Set([1]));
    placeByOwn(scene);
    noOverlaps(scene.boxes);
    const cell = cellRect(scene.boxes[1], 1);
    expect(targetAt(scene, cell.x + 2, cell.y + 2)).toEqual({ job: 3 });
    expect(targetAt(scene, scene.boxes[0].x + 2, scene.boxes[0].y + 2)).toEqual({ task: 0 });
    expect(rectOf(scene, { job: 0 }, (job) => run.perJob.task[job])).toBe(scene.boxes[0]);
    expect(jobOf({ task: 1 })).toBe(-1);
  });

  it("follows links both ways", () => {
    const scene = sceneOfTasks(run, new Set());
    expect([...tasksFrom(scene, 1, "up")]).toEqual([0]);
    expect([...tasksFrom(scene, 0, "down")].sort()).toEqual([1, 2]);
  });
});

describe("Graphviz's answer", () => {
  const run = runOf([{ task: 0 }, { task: 1, values: [0] }]);

  it("has no text of anybody in its question", () => {
    expect(dotOf(sceneOfJobs(run))).not.toContain("task_");
  });

  it("places boxes and bends links", () => {
    const scene = sceneOfJobs(run);
    const plain = 'graph 1 4 1\nnode n0 1 0.5 1 0.4 "" solid box black lightgrey\nnode n1 3 0.5 1 0.4 "" solid box black lightgrey\nedge n0 n1 4 1.5 0.5 1.8 0.5 2.2 0.5 2.5 0.5 solid black\nstop';
    expect(placeByPlain(scene, plain)).toBe(true);
    expect(scene.boxes[1].x + scene.boxes[1].w / 2).toBe(216);
    expect(scene.links[0].path).toBe("M108.0 36.0 C129.6 36.0 158.4 36.0 180.0 36.0");
    expect(placeByPlain(sceneOfJobs(run), "graph 1 4 1\nstop")).toBe(false);
  });
});

it("shortens in the middle", () => {
  expect(shortened("task_parse[17]")).toBe("task_parse[17]");
  const long = shortened(`task_${"x".repeat(40)}[17]`);
  expect([long.length, long.endsWith("[17]")]).toEqual([26, true]);
});

it("walks to the nearest that way", () => {
  const rects: [{ job: number }, Rect][] = [0, 1, 2].map((job) => [{ job }, { x: job * 50, y: job === 2 ? 60 : 0, w: 10, h: 10 }]);
  expect(nearest(rects[0][1], rects, "right")).toEqual({ job: 1 });
  expect(nearest(rects[1][1], rects, "left")).toEqual({ job: 0 });
  expect(nearest(rects[0][1], rects, "up")).toBeNull();
});
