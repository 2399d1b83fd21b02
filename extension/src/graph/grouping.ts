// Which boxes and links a graph has: one box a job, or one a task.

import { EDGES, type EdgeKind } from "../messages";
import type { Edges } from "../run/columns";
import type { Run } from "../run/run";
import { jobBox, openedBox, taskBox, type Link, type Scene } from "./scene";

/** Calls `tell` for every edge: parent, child, and how the child depends on the parent. */
export function eachEdge(
  run: Run,
  edges: readonly Edges[],
  tell: (parent: number, child: number, kind: EdgeKind) => void,
): void {
  for (let job = 0; job < run.jobs; job++) {
    for (const each of edges) for (const parent of run.parentsOf(job, [each])) tell(parent, job, each.kind);
  }
}

/** Edges between whatever the jobs are gathered into; those within one place are left out. */
export function linksBetween(run: Run, placeOf: Int32Array, places: number): Link[] {
  const found = new Map<number, Link>();
  eachEdge(run, run.perJob.edges, (parent, child, kind) => {
    const from = placeOf[parent];
    const to = placeOf[child];
    if (from === to) return;
    const key = (from * places + to) * EDGES.length + EDGES.indexOf(kind);
    const link = found.get(key);
    if (link) link.count++;
    else found.set(key, { from, to, kind, count: 1 });
  });
  return [...found.values()];
}

export function sceneOfJobs(run: Run): Scene {
  const boxes = Array.from({ length: run.jobs }, (_, job) => jobBox(run, job));
  const places = Int32Array.from({ length: run.jobs }, (_, job) => job);
  return { boxes, links: linksBetween(run, places, run.jobs), width: 0, height: 0 };
}

/** The jobs of each task, in the order in which the flow called them. */
export function jobsByTask(run: Run): number[][] {
  const jobs: number[][] = run.tasks.map(() => []);
  for (let job = 0; job < run.jobs; job++) jobs[run.perJob.task[job]]?.push(job);
  return jobs;
}

/** One box a task; those in `opened` show their jobs as cells. */
export function sceneOfTasks(run: Run, opened: ReadonlySet<number>): Scene {
  const jobs = opened.size ? jobsByTask(run) : [];
  const boxes = run.tasks.map((_, task) => (opened.has(task) ? openedBox(run, task, jobs[task]) : taskBox(run, task)));
  return { boxes, links: linksBetween(run, run.perJob.task, run.tasks.length), width: 0, height: 0 };
}

/** Tasks before or after this one, over any number of links. */
export function tasksFrom(scene: Scene, task: number, way: "up" | "down"): Set<number> {
  const seen = new Set<number>();
  const todo = [task];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    for (const link of scene.links) {
      if (!link.kind.leads) continue;
      const [here, there] = way === "up" ? [link.to, link.from] : [link.from, link.to];
      if (here !== at || seen.has(there) || there === task) continue;
      seen.add(there);
      todo.push(there);
    }
  }
  return seen;
}
